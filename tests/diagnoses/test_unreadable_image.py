from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.unreadable_image import HEALTHY, SICK


def test_a_corrupt_image_is_reported_with_its_row(findings_of):
    [finding] = findings_of("unreadable_image", SICK)
    assert finding.evidence == ("train row 7: pages/0007.jpg (truncated image: 38 bytes are missing)",)


def test_an_unusual_mode_is_not_called_unreadable(findings_of):
    assert findings_of("unreadable_image", HEALTHY) == ()


def test_pictures_that_were_not_decoded_are_skipped_with_their_number_and_not_kept(outcome_of):
    reason = "3 of 5 pictures were read by their header, their checksums and their end, and not decoded"
    facts = altered(HEALTHY, {"dataset.image_pixels": Unknown(reason=reason)})
    assert outcome_of("unreadable_image", facts) == Skipped(reason)
