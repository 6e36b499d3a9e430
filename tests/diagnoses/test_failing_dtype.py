from preflight_ocr.harness.facts import Raised
from tests.specimens import altered
from tests.specimens.failing_dtype import SICK
from tests.specimens.healthy import ON_CARD

RAISED = Raised(
    type="RuntimeError", message="expected m1 and m2 to have the same dtype, but got: c10::Half != float", site=None
)


def test_gradients_that_are_never_finite_are_named_with_what_works(findings_of):
    [finding] = findings_of("failing_dtype", SICK)
    assert "layers.0.self_attn.q_proj.lora_A.default.weight" in finding.summary
    assert finding.evidence[1] == "float32 weights, float16 autocast, scaler: loss 6.25"
    assert "fp16: true" in finding.fix.snippet


def test_an_exception_of_the_precision_asked_for_is_told(findings_of):
    [finding] = findings_of("failing_dtype", altered(ON_CARD, {"accelerator.precisions.0.step": RAISED}))
    assert "same dtype" in finding.summary


def test_an_exception_in_every_precision_is_owned_by_the_step_on_the_card(findings_of):
    changes = {f"accelerator.precisions.{number}.step": RAISED for number in range(3)}
    [finding] = findings_of("failing_dtype", altered(ON_CARD, changes))
    assert finding.owners == ("failing_on_card",)


def test_nothing_that_works_is_not_recommended(findings_of):
    changes = {f"accelerator.precisions.{number}.not_finite": ("loss",) for number in range(3)}
    [finding] = findings_of("failing_dtype", altered(ON_CARD, changes))
    assert "No usual precision" in finding.fix.instruction and not finding.fix.snippet
