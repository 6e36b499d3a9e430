from tests.specimens.unreadable_image import HEALTHY, SICK


def test_a_corrupt_image_is_reported_with_its_row(findings_of):
    [finding] = findings_of("unreadable_image", SICK)
    assert finding.evidence == ("train row 7: pages/0007.jpg (truncated image: 38 bytes are missing)",)


def test_an_unusual_mode_is_not_called_unreadable(findings_of):
    assert findings_of("unreadable_image", HEALTHY) == ()
