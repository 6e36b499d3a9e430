from preflight_ocr.harness.facts import RowProblem
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.squashed_page import HEALTHY, SICK


def test_a_squashed_page_is_reported_with_its_path(findings_of):
    [finding] = findings_of("squashed_page", SICK)
    assert finding.evidence == ("images[0][1]: squashed",)
    assert "ImageOps.pad" in finding.fix.snippet


def test_a_page_that_augmentation_made_unrecognisable_is_silent(findings_of):
    assert findings_of("squashed_page", HEALTHY) == ()


def test_a_turned_page_belongs_to_its_exif_orientation_where_there_is_one(findings_of):
    turned = altered(RUN, {"collator.views.0.geometry": "turned"})
    assert len(findings_of("squashed_page", turned)) == 1
    exif = (RowProblem(split="train", row=0, image="0.jpg", kind="exif rotation", detail=""),)
    assert findings_of("squashed_page", altered(turned, {"dataset.problems": exif})) == ()


def test_squashed_and_mirrored_pages_are_two_findings(findings_of):
    both = altered(SICK, {"collator.views.1.geometry": "mirrored"})
    assert len(findings_of("squashed_page", both)) == 2
