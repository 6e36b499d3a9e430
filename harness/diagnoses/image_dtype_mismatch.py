"""The collator's images have another dtype than the vision weights.

## What it does
Compares the dtype of every image tensor in the batch with that of a batch this model accepts.

## Why it matters
Convolutions do not convert: a float32 image meets half-precision weights and forward stops with "Input type (float)
and bias type (c10::Half) should be the same". Some models convert inside; where forward accepts the batch, nothing is
reported.

## Example
```yaml
model: {torch_dtype: float16}        # and the collator returns float32 images
```

## Use instead
```python
images = [(crops.to(model.dtype), page.to(model.dtype)) for crops, page in images]
```

## References
- PyTorch, "torch.nn.functional.conv2d": input and weight share one dtype
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Delta, Facts, Unknown
from preflight_ocr.harness.judging.deltas import list_deltas, list_repaired, show_delta
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DTY002",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="images come in the dtype of the vision weights",
    needs=("collator.deltas",),
    explains=("mixed_model_dtypes", "failing_batch", "failing_forward", "failing_adapter", "failing_step"),
    keys=("model.torch_dtype", "subject.collator"),
    entries=("pixels",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    wrong = list_deltas(known(facts.collator), ["pixels"], ["dtype"])
    if not wrong or _is_converted_inside(facts, wrong):
        return
    yield DIAGNOSIS.finding(
        f"`{wrong[0].path}` is {wrong[0].seen}; the model's vision weights take {wrong[0].expected}.",
        evidence=show_some(show_delta(delta) for delta in wrong),
        fix="Convert the images to the model's dtype at the end of the collator, or load the model in the images' dtype.",
        snippet="images = [(crops.to(model.dtype), page.to(model.dtype)) for crops, page in images]",
    )


def _is_converted_inside(facts: Facts, wrong: tuple[Delta, ...]) -> bool:
    """Whether forward took these pixels as they are while its weights really had the other dtype: with the whole batch, or
    once something else in it was replaced."""
    if isinstance(facts.forward, Unknown):
        return False
    replaced = list_repaired(facts)
    went_on = bool(replaced) and not isinstance(facts.forward.landing, Unknown)
    if facts.forward.given != "ok" and not (went_on and replaced.isdisjoint(delta.argument for delta in wrong)):
        return False
    present = {dtype for counts in facts.forward.dtypes.values() for dtype in counts}
    return all(any(dtype in delta.expected for dtype in present) for delta in wrong)
