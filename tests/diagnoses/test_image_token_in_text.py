from tests.specimens.image_token_in_text import HEALTHY, SICK


def test_an_image_token_in_a_target_is_reported_with_its_row(findings_of):
    [finding] = findings_of("image_token_in_text", SICK)
    assert finding.evidence == ("train row 5: a.png (image token in text: see <image>)",)


def test_our_own_collator_takes_it_as_letters_and_nothing_is_said(findings_of):
    assert findings_of("image_token_in_text", HEALTHY) == ()
