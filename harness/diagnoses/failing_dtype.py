"""The precision that the YAML asks for does not work on the card; another one does.

## What it does
Takes one optimizer step on the card in each usual way: float32, float16 autocast with a gradient scaler, bfloat16 weights,
bfloat16 autocast, and the one that `torch_dtype`, `fp16` and `bf16` add up to. Loss and gradients have to be finite; a
scaler may halve its factor until they are.

## Why it matters
An exception stops the run. Gradients that are never finite do not: with a scaler every step is skipped, the loss stays
where it was, and the adapter is saved as it was made.

## Example
```yaml
model: {torch_dtype: float16}
training: {fp16: true}
```

## Use instead
```yaml
model: {torch_dtype: bfloat16}
training: {bf16: true}
```

## References
- PyTorch, "Automatic Mixed Precision package": gradient scaling
- transformers, "GPU training": fp16 and bf16
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Precision, Raised
from preflight_ocr.harness.judging.failures import excuse_card, show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DTY010",
    severity=Severity.BLOCKER,
    basis=Basis.GPU,
    contract="the precision asked for gives a finite loss and finite gradients on the card",
    needs=("accelerator",),
    explains=("diverging_from_cpu",),
    keys=("training.fp16", "training.bf16", "model.torch_dtype"),
)

_YAML = {
    "float32 weights": "model:\n  torch_dtype: float32\ntraining:\n  fp16: false\n  bf16: false",
    "bfloat16 weights": "model:\n  torch_dtype: bfloat16\ntraining:\n  fp16: false\n  bf16: false",
    "float32 weights, bfloat16 autocast": "model:\n  torch_dtype: float32\ntraining:\n  fp16: false\n  bf16: true",
    "float32 weights, float16 autocast, scaler": "model:\n  torch_dtype: float32\ntraining:\n  fp16: true\n  bf16: "
    "false",
}


def excuse(facts: Facts) -> str:
    return excuse_card(facts)


def examine(facts: Facts) -> Iterator[Finding]:
    asked, *others = known(facts.accelerator).precisions
    if _works(asked):
        return
    working = [other for other in others if _works(other)]
    is_alone = not isinstance(asked.step, Raised) or any(other.step == "ok" for other in others)
    seen = (
        f"ended with {show_raised(asked.step)}"
        if isinstance(asked.step, Raised)
        else f"produced non-finite values in {', '.join(asked.not_finite)}"
    )
    yield DIAGNOSIS.finding(
        f"On the card an optimizer step with {asked.name} {seen}; expected a finite loss and finite gradients.",
        evidence=tuple(f"{p.name}: {_tell(p)}" for p in (asked, *others)),
        places=list_places(asked.step),
        owners=() if is_alone else ("failing_on_card",),  # where every precision raises, it is not the precision
        fix=f"Train with {working[0].name}, which works on this card."
        if working
        else "No usual precision gives finite numbers here: look at the weights and at the batch.",
        snippet=_YAML.get(working[0].name, "") if working else "",
    )


def _works(precision: Precision) -> bool:
    return precision.step == "ok" and not precision.not_finite


def _tell(precision: Precision) -> str:
    if isinstance(precision.step, Raised):
        return f"{precision.step.type}: {precision.step.message[:120]}"
    if precision.not_finite:
        return f"not finite: {', '.join(precision.not_finite)}"
    return f"loss {precision.loss:.4g}" if isinstance(precision.loss, float) else "ok"
