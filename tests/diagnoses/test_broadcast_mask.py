from preflight_ocr.harness.judging.findings import NotApplicable
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.broadcast_mask import SICK


def test_a_mask_of_one_column_is_reported_with_both_widths(findings_of):
    [finding] = findings_of("broadcast_mask", SICK)
    assert "[2, 1], expected [2, 20]" in finding.summary


def test_a_mask_that_is_too_short_otherwise_is_silent(findings_of):
    assert findings_of("broadcast_mask", altered(RUN, {"collator.batch.leaves.7.shape": (2, 18)})) == ()


def test_a_model_without_a_placement_mask_has_no_such_contract(outcome_of):
    assert isinstance(
        outcome_of("broadcast_mask", altered(RUN, {"collator.roles": {"pixel_values": "pixels"}})), NotApplicable
    )
