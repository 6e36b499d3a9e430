from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Skipped
from preflight_ocr.harness.verdict.contracts import derive, judge
from tests.specimens import HEALTHY, altered
from tests.specimens.failing_evaluation import SICK


def test_labels_that_cannot_be_decoded_are_reported_with_what_to_replace(findings_of):
    [finding] = findings_of("failing_evaluation", SICK)
    assert "-100" in finding.fix.instruction


def test_a_run_that_evaluates_nothing_is_skipped():
    facts = altered(HEALTHY, {"rehearsal.evaluation": Unknown(reason="the run evaluates nothing")})
    [contract] = derive(facts, only=("failing_evaluation",))
    assert judge(contract, facts) == Skipped("the run evaluates nothing")
