from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Kept, Skipped
from tests.specimens import altered
from tests.specimens.failing_resume import HEALTHY, SICK


def test_a_checkpoint_that_is_not_read_back_is_quoted(findings_of):
    [finding] = findings_of("failing_resume", SICK)
    assert "Weights only load failed" in finding.summary


def test_a_best_checkpoint_that_is_not_loaded_is_a_finding_of_its_own(findings_of):
    both = altered(SICK, {"rehearsal.best": SICK.rehearsal.resume})
    assert len(findings_of("failing_resume", both)) == 2


def test_a_run_that_was_not_gone_on_with_is_no_pass_although_its_best_was_loaded(outcome_of):
    facts = altered(HEALTHY, {"rehearsal.resume": Unknown(reason="there is no checkpoint to resume from")})
    assert outcome_of("failing_resume", facts) == Skipped("there is no checkpoint to resume from")


def test_a_run_that_loads_no_best_checkpoint_has_none_to_load(outcome_of):
    assert isinstance(outcome_of("failing_resume", altered(HEALTHY, {"rehearsal.best": "not asked"})), Kept)
