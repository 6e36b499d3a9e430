import pytest

from preflight_ocr.harness.facts import Delta, Raised, Unknown
from preflight_ocr.harness.judging.findings import Severity
from preflight_ocr.harness.verdict.contracts import derive, judge_all, root_causes
from tests.specimens import altered
from tests.specimens.fixed_vision_dtype import HEALTHY, SICK

HALF = {"vision": {"float16": 200_000}, "attention": {"float16": 65_536}}


def say(message: str) -> dict[str, object]:
    raised = Raised(type="RuntimeError", message=message, site=None)
    return {"forward.given": raised, "forward.reference": raised}


def test_the_dtype_of_the_cast_is_named_as_the_one_to_load_in(findings_of):
    [finding] = findings_of("fixed_vision_dtype", SICK)
    assert "computes with bfloat16" in finding.summary and "they are float32" in finding.summary
    assert "torch_dtype: bfloat16" in finding.fix.snippet


@pytest.mark.parametrize(
    "message",
    [
        "Input type (c10::BFloat16) and bias type (c10::Half) should be the same",
        "Input type (torch.cuda.BFloat16Tensor) and weight type (torch.cuda.HalfTensor) should be the same",
        "mat1 and mat2 must have the same dtype, but got BFloat16 and Half",
        "expected m1 and m2 to have the same dtype, but got: c10::BFloat16 != c10::Half",
        "expected scalar type Half but found BFloat16",
    ],
)
def test_float16_weights_are_told_in_every_wording(findings_of, message):
    [finding] = findings_of("fixed_vision_dtype", altered(SICK, {"forward.dtypes": HALF, **say(message)}))
    assert "computes with bfloat16" in finding.summary and "they are float16" in finding.summary


def test_the_images_dtype_is_not_blamed_beside_it():
    delta = Delta(
        argument="images",
        path="images[0][1]",
        kind="dtype",
        seen="float16 tensor [1, 3, 128, 128]",
        expected="float32 tensor [1, 3, 128, 128]",
    )
    facts = altered(SICK, {"collator.deltas": (delta,)})
    assert [root.name for root in root_causes(judge_all(derive(facts), facts))] == ["fixed_vision_dtype"]


def test_two_dtypes_that_are_both_in_the_weights_met_by_themselves(findings_of):
    facts = altered(SICK, {"forward.dtypes": {"vision": {"bfloat16": 1000}, "attention": {"float32": 1000}}})
    assert findings_of("fixed_vision_dtype", facts) == ()


def test_a_dtype_that_the_batch_has_is_the_batchs_own(findings_of):
    facts = altered(SICK, {"collator.reference": Unknown(reason="nobody declared it")})
    facts = altered(facts, {"collator.batch.leaves.4.dtype": "bfloat16"})
    assert findings_of("fixed_vision_dtype", facts) == ()


def test_a_batch_that_forward_refuses_alone_does_not_say_how_the_model_computes(findings_of):
    assert findings_of("fixed_vision_dtype", altered(SICK, {"forward.reference": "ok"})) == ()


def test_where_training_runs_under_autocast_in_that_dtype_it_is_minor(findings_of):
    [finding] = findings_of("fixed_vision_dtype", altered(SICK, {"configuration.bf16": True}))
    assert finding.severity is Severity.MINOR
    [finding] = findings_of("fixed_vision_dtype", altered(SICK, {"configuration.fp16": True}))
    assert finding.severity is Severity.BLOCKER


def test_weights_in_that_dtype_are_silent(findings_of):
    assert findings_of("fixed_vision_dtype", HEALTHY) == ()


def test_an_exception_about_something_else_is_silent(findings_of):
    assert findings_of("fixed_vision_dtype", altered(SICK, say("shape mismatch of BFloat16 and Float"))) == ()
