from preflight_ocr.harness.judging.findings import Skipped
from preflight_ocr.harness.verdict.contracts import derive, judge
from tests.specimens import HEALTHY, altered
from tests.specimens.failing_start import SICK


def test_a_schedule_that_cannot_be_built_is_quoted_with_its_line(findings_of):
    [finding] = findings_of("failing_start", SICK)
    assert "min_lr_rate" in finding.summary
    assert finding.places[0].line == 41
    assert finding.owners == ()


def test_what_a_step_by_hand_raised_already_belongs_there(findings_of):
    raised = SICK.rehearsal.optimizer
    [finding] = findings_of("failing_start", altered(SICK, {"learning.mixed_precision": raised}))
    assert "failing_step" in finding.owners


def test_a_run_under_deepspeed_is_skipped_and_not_passed():
    facts = altered(HEALTHY, {"rehearsal.left_out": ("deepspeed",)})
    [contract] = derive(facts, only=("failing_start",))
    outcome = judge(contract, facts)
    assert isinstance(outcome, Skipped)
    assert "deepspeed" in outcome.reason
