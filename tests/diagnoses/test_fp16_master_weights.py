from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Skipped
from preflight_ocr.harness.verdict.contracts import derive, judge
from tests.specimens import altered
from tests.specimens.fp16_master_weights import HEALTHY, SICK


def test_float16_adapters_are_reported_and_float32_is_advised(findings_of):
    [finding] = findings_of("fp16_master_weights", SICK)
    assert "trainable weights: float16" in finding.evidence
    assert "parameter.data.float()" in finding.fix.snippet


def test_float32_adapters_beside_float16_weights_are_silent(findings_of):
    assert findings_of("fp16_master_weights", HEALTHY) == ()


def test_without_a_step_and_without_dtypes_nothing_is_claimed():
    lost = Unknown(reason="no step was done")
    facts = altered(HEALTHY, {"learning.mixed_precision": lost, "adapter.trainable_dtypes": ()})
    [contract] = derive(facts, only=["fp16_master_weights"])
    assert judge(contract, facts) == Skipped("no step was done")
