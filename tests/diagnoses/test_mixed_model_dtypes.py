from preflight_ocr.harness.facts import Raised
from tests.specimens import HEALTHY, altered
from tests.specimens.mixed_model_dtypes import SICK

MEETING = Raised(type="RuntimeError", message="expected scalar type BFloat16 but found Float", site=None)


def test_a_step_that_fails_only_under_mixed_precision_is_reported(findings_of):
    [finding] = findings_of("mixed_model_dtypes", SICK)
    assert "The training step under mixed precision" in finding.summary
    assert "torch_dtype: bfloat16" in finding.fix.snippet


def test_a_float32_norm_in_a_bfloat16_part_is_named(findings_of):
    changes = {"forward.reference": MEETING, "forward.dtypes.attention": {"bfloat16": 65_000, "float32": 512}}
    [finding] = findings_of("mixed_model_dtypes", altered(HEALTHY, changes))
    assert "attention has bfloat16 and float32" in finding.evidence


def test_a_float32_head_in_a_bfloat16_model_that_works_is_silent(findings_of):
    changes = {"forward.dtypes.attention": {"bfloat16": 65_000, "float32": 512}}
    assert findings_of("mixed_model_dtypes", altered(HEALTHY, changes)) == ()


def test_a_model_of_one_dtype_is_not_blamed_for_what_its_batch_raises(findings_of):
    assert findings_of("mixed_model_dtypes", altered(HEALTHY, {"forward.reference": MEETING})) == ()
