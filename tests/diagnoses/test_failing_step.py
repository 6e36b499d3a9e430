from preflight_ocr.harness.verdict.contracts import derive, judge_all, root_causes
from tests.specimens import altered
from tests.specimens.failing_step import SICK


def test_a_step_that_raises_is_quoted_with_its_line(findings_of):
    [finding] = findings_of("failing_step", SICK)
    assert "graph a second time" in finding.summary and "trainer.py:40" in finding.summary


def test_an_exception_that_forward_raised_before_is_owned_by_what_met_it_first(findings_of):
    again = altered(SICK, {"forward.given": SICK.learning.training})
    [finding] = findings_of("failing_step", again)
    assert {"failing_forward", "failing_batch"} <= set(finding.owners)
    assert "failing_step" not in {root.name for root in root_causes(judge_all(derive(again), again))}
