from tests.specimens import altered
from tests.specimens.failing_resume import SICK


def test_a_checkpoint_that_is_not_read_back_is_quoted(findings_of):
    [finding] = findings_of("failing_resume", SICK)
    assert "Weights only load failed" in finding.summary


def test_a_best_checkpoint_that_is_not_loaded_is_a_finding_of_its_own(findings_of):
    both = altered(SICK, {"rehearsal.best": SICK.rehearsal.resume})
    assert len(findings_of("failing_resume", both)) == 2
