from preflight_ocr.harness.facts import RowProblem
from preflight_ocr.harness.judging.findings import Severity
from tests.specimens import altered
from tests.specimens.unusual_image_mode import HEALTHY, SICK


def test_ink_on_a_transparent_page_is_reported_as_lost(findings_of):
    [finding] = findings_of("unusual_image_mode", SICK)
    assert finding.severity is Severity.MAJOR
    assert finding.evidence == ("train row 2: ink.png (transparency: RGBA)",)


def test_a_palette_alone_is_minor(findings_of):
    palette = RowProblem(split="train", row=2, image="page.gif", kind="palette", detail="")
    [finding] = findings_of("unusual_image_mode", altered(SICK, {"dataset.problems": (palette,)}))
    assert finding.severity is Severity.MINOR


def test_our_own_collator_handles_it_and_nothing_is_said(findings_of):
    assert findings_of("unusual_image_mode", HEALTHY) == ()
