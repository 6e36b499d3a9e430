"""fp16 training with trainable weights that are themselves float16.

## What it does
With `fp16: true`, does one optimizer step under a gradient scaler, and looks at the dtype of the trainable weights.

## Why it matters
fp16 training scales the loss and unscales the gradients, which must then be float32. Float16 weights have float16
gradients: "Attempting to unscale FP16 gradients." Switching mixed precision off hides the message and leaves updates
that are too small for float16.

## Example
```python
model = get_peft_model(model.half(), config, autocast_adapter_dtype=False)     # with fp16: true
```

## Use instead
Keep what is trained in float32; the frozen rest may stay float16. Where the card can, bfloat16 needs no scaler:
```yaml
training: {bf16: true, fp16: false}
```

## References
- PyTorch, "Automatic mixed precision": GradScaler
- PEFT, "Troubleshooting": ValueError: Attempting to unscale FP16 gradients
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Raised, Unknown
from preflight_ocr.harness.judging.failures import show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DTY001",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="fp16 training has float32 weights to update",
    needs=("configuration", "learning"),
    where="training.fp16 is on",
    # AdamW's epsilon is zero in float16, so a repeated batch ends in NaN.
    explains=("mixed_model_dtypes", "failing_step", "flat_loss"),
    keys=("training.fp16", "model.torch_dtype"),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.configuration, Unknown) or facts.configuration.fp16


def excuse(facts: Facts) -> str:
    # PEFT keeps adapters in float32 beside float16 weights unless told otherwise, so the YAML alone proves nothing.
    step = facts.unknown_on("learning.mixed_precision")
    return step.reason if step and _get_step(facts) is None and not _list_trainable(facts) else ""


def examine(facts: Facts) -> Iterator[Finding]:
    configuration = known(facts.configuration)
    step, trainable = _get_step(facts), _list_trainable(facts)
    scaled = step is not None and "unscale FP16 gradients" in step.message
    if not scaled and "float16" not in trainable:
        return
    yield DIAGNOSIS.finding(
        "fp16 training is on and the weights that are trained are float16: their gradients cannot be unscaled. "
        "Trainable "
        "weights should be float32.",
        evidence=(
            f"fp16: {configuration.fp16}, torch_dtype: {configuration.torch_dtype}",
            *((f"trainable weights: {', '.join(trainable)}",) if trainable else ()),
            *((show_raised(step),) if step else ()),
        ),
        places=list_places(step),
        fix="Cast what is trained to float32 after the adapter was added, or train in bfloat16; do not just switch mixed "
        "precision off.",
        snippet="for parameter in model.parameters():\n    if parameter.requires_grad:\n"
        "        parameter.data = parameter.data.float()",
    )


def _get_step(facts: Facts) -> Raised | None:
    """What the step under mixed precision raised, if it did."""
    if isinstance(facts.learning, Unknown):
        return None
    return facts.learning.mixed_precision if isinstance(facts.learning.mixed_precision, Raised) else None


def _list_trainable(facts: Facts) -> tuple[str, ...]:
    return () if isinstance(facts.adapter, Unknown) else facts.adapter.trainable_dtypes
