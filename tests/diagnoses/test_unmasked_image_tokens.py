from tests.specimens import HEALTHY as RUN
from tests.specimens.unmasked_image_tokens import SICK


def test_image_tokens_with_labels_are_counted(findings_of):
    [finding] = findings_of("unmasked_image_tokens", SICK)
    assert finding.evidence == ("row 0: 7 image tokens trained on",)


def test_masked_image_tokens_are_silent(findings_of):
    assert findings_of("unmasked_image_tokens", RUN) == ()
