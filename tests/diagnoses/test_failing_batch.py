from preflight_ocr.harness.facts import Raised
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.failing_batch import SICK


def test_a_batch_that_fails_where_ours_passes_is_quoted_with_the_argument_to_blame(findings_of):
    [finding] = findings_of("failing_batch", SICK)
    assert "too many indices" in finding.summary
    assert any("`attention_mask` replaced" in line for line in finding.evidence)
    assert "attention_mask: int64 tensor [40], expected int64 tensor [2, 20]" in finding.evidence


def test_a_batch_that_passes_is_silent(findings_of):
    assert findings_of("failing_batch", RUN) == ()


def test_a_model_that_fails_on_any_batch_is_the_cause_where_this_one_fails_too(findings_of):
    broken = altered(SICK, {"forward.reference": Raised(type="TypeError", message="missing argument", site=None)})
    [finding] = findings_of("failing_batch", broken)
    assert "failing_forward" in finding.owners
