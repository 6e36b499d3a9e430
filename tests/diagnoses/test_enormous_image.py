from tests.specimens.enormous_image import SICK


def test_an_enormous_image_is_reported_with_its_size(findings_of):
    [finding] = findings_of("enormous_image", SICK)
    assert finding.evidence == ("train row 0: plan.tif (enormous image: 20000 x 14000)",)
