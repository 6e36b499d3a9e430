from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.unseen_image import HEALTHY, SICK


def test_rows_whose_page_changes_nothing_are_named(findings_of):
    [finding] = findings_of("unseen_image", SICK)
    assert finding.evidence[0] == "row 0: the image does not reach the logits"
    assert len(finding.evidence) == 2


def test_a_row_without_an_image_is_silent(findings_of):
    assert findings_of("unseen_image", HEALTHY) == ()


def test_a_row_whose_placement_mask_is_wrong_belongs_to_that_diagnosis(findings_of):
    [finding] = findings_of("unseen_image", altered(SICK, {"collator.batch.rows.0.marked": "0" * 20}))
    assert finding.evidence == ("row 1: the image does not reach the logits",)


def test_a_batch_without_any_image_is_skipped_not_passed(outcome_of):
    text_only = altered(RUN, {"forward.behaviour.image_reaches": (None, None)})
    assert outcome_of("unseen_image", text_only) == Skipped("no row of the batch has an image")
