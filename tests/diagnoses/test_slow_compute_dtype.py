from tests.specimens import altered
from tests.specimens.slow_compute_dtype import HEALTHY, SICK


def test_float32_in_a_bf16_run_is_named_with_what_to_write(findings_of):
    [finding] = findings_of("slow_compute_dtype", SICK)
    assert finding.fix.snippet == "bnb_4bit_compute_dtype: bfloat16"


def test_float32_beside_half_precision_weights_is_named_without_autocast(findings_of):
    changes = {"configuration.bf16": False, "adapter.quantised.other_dtypes": {"float16": 640}}
    [finding] = findings_of("slow_compute_dtype", altered(SICK, changes))
    assert "other weights of the model are in float16" in finding.summary


def test_a_run_that_is_in_float32_throughout_is_silent(findings_of):
    assert findings_of("slow_compute_dtype", altered(SICK, {"configuration.bf16": False})) == ()


def test_bfloat16_is_silent(findings_of):
    assert findings_of("slow_compute_dtype", HEALTHY) == ()
