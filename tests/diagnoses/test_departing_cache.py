from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.departing_cache import HEALTHY, SICK


def test_a_cache_that_changes_the_logits_is_noted(findings_of):
    [finding] = findings_of("departing_cache", SICK)
    assert "other logits when it has a cache, by up to 0.2" in finding.summary
    assert finding.evidence == ("row 0: 0.2 behind the first token", "row 2: 0.1 behind the first token")


def test_a_cache_that_changes_nothing_is_silent(findings_of):
    assert findings_of("departing_cache", HEALTHY) == ()


def test_a_model_without_generate_is_skipped_not_passed(outcome_of):
    facts = altered(SICK, {"forward.agreement.cached": Unknown(reason="the model has no generate")})
    assert outcome_of("departing_cache", facts) == Skipped("the model has no generate")


def test_in_half_precision_it_is_skipped_not_passed(outcome_of):
    facts = altered(SICK, {"forward.agreement.tolerance": 0.1})
    assert isinstance(outcome_of("departing_cache", facts), Skipped)
