from preflight_ocr.harness.facts import Raised
from preflight_ocr.harness.judging.findings import Severity
from tests.specimens import altered
from tests.specimens.unprepared_quantisation import HEALTHY, SICK

NO_GRAD = Raised(
    type="RuntimeError", message="element 0 of tensors does not require grad and does not have a grad_fn", site=None
)
BFLOAT16 = {"adapter.quantised.norm_dtypes": {"bfloat16": 640}, "adapter.quantised.other_dtypes": {"bfloat16": 87_424}}
STARVED = {"configuration.gradient_checkpointing": True, "learning.checkpointing": NO_GRAD}


def test_norms_in_float16_are_named(findings_of):
    [finding] = findings_of("unprepared_quantisation", SICK)
    assert "its norms are in float16" in finding.summary and finding.severity is Severity.MINOR


def test_norms_in_bfloat16_need_no_preparation(findings_of):
    assert findings_of("unprepared_quantisation", altered(HEALTHY, BFLOAT16)) == ()


def test_checkpointing_without_gradients_is_named_where_nothing_was_prepared(findings_of):
    [finding] = findings_of("unprepared_quantisation", altered(HEALTHY, BFLOAT16 | STARVED))
    assert "no adapter gets a gradient" in finding.summary and finding.severity is Severity.BLOCKER


def test_checkpointing_without_gradients_in_a_prepared_model_has_another_cause(findings_of):
    assert findings_of("unprepared_quantisation", altered(HEALTHY, STARVED)) == ()


def test_a_prepared_model_is_silent(findings_of):
    assert findings_of("unprepared_quantisation", HEALTHY) == ()
