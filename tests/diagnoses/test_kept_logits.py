from preflight_ocr.harness.judging.findings import Severity
from tests.specimens import altered
from tests.specimens.kept_logits import SICK


def test_logits_beyond_the_memory_of_the_machine_are_a_blocker_with_the_figures(findings_of):
    [finding] = findings_of("kept_logits", SICK)
    assert finding.severity is Severity.BLOCKER
    assert "2000 rows of 572.2 MiB" in finding.summary


def test_more_than_the_model_is_minor_and_less_is_silent(findings_of):
    roomy = altered(SICK, {"rehearsal.kept.host": 2**44})
    [finding] = findings_of("kept_logits", roomy)
    assert finding.severity is Severity.MINOR
    assert findings_of("kept_logits", altered(SICK, {"rehearsal.kept.all_rows": 10})) == ()
