from tests.specimens.exif_rotated_image import HEALTHY, SICK


def test_a_rotated_photograph_is_reported_with_the_call_that_turns_it(findings_of):
    [finding] = findings_of("exif_rotated_image", SICK)
    assert finding.evidence == ("train row 4: photo.jpg (exif rotation: orientation 6)",)
    assert "exif_transpose" in finding.fix.snippet


def test_our_own_collator_turns_it_and_nothing_is_said(findings_of):
    assert findings_of("exif_rotated_image", HEALTHY) == ()
