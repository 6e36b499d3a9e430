from preflight_ocr.harness.facts import RowProblem
from tests.specimens import HEALTHY, altered
from tests.specimens.missing_image_file import SICK


def test_a_missing_image_is_reported_with_its_row(findings_of):
    [finding] = findings_of("missing_image_file", SICK)
    assert finding.evidence == ("train row 7: pages/0007.png (missing image)",)


def test_many_missing_images_are_one_finding_that_shows_a_few(findings_of):
    problems = tuple(
        RowProblem(split="val", row=n, image=f"{n}.png", kind="missing image", detail="") for n in range(12)
    )
    [finding] = findings_of("missing_image_file", altered(HEALTHY, {"dataset.problems": problems}))
    assert finding.summary.startswith("12 rows")
    assert finding.evidence[-1] == "and 7 more"
