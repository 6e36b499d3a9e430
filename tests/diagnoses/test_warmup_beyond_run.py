from tests.specimens import HEALTHY, altered
from tests.specimens.warmup_beyond_run import SICK


def test_a_warmup_longer_than_the_run_is_reported_with_both_numbers(findings_of):
    [finding] = findings_of("warmup_beyond_run", SICK)
    assert finding.evidence == ("warm-up: 100 optimizer steps", "run: 10 optimizer steps")
    assert "10%" in finding.summary
    assert "warmup_steps: 1" in finding.fix.snippet


def test_a_run_without_warmup_is_silent_however_short(findings_of):
    short = altered(HEALTHY, {"configuration.total_steps": 1, "configuration.warmup_steps": 0})
    assert findings_of("warmup_beyond_run", short) == ()
