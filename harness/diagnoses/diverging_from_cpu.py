"""On the card the model computes something else than on the CPU.

## What it does
Holds the logits of the card, in the precision that the YAML asks for, against those of the CPU in float32 (in the dtype of
the weights where the model's code can do no other): |card - CPU| / |CPU| over all tokens that are not padding. Allowed are
2 % in float32, 5 % in float16, 20 % in bfloat16.

## Why it matters
Rounding is far below these bounds. What is above them is another computation: a kernel that ignores a mask, an attention
that is not the one the weights were trained with, an input that was lost on the way. The run goes on and learns something
else.

## Example
```text
float32 weights: 0.87 of the logits' size, 0.02 allowed
```

## Use instead
```yaml
model: {attn_implementation: eager}      # the one without a kernel of its own
```

## References
- PyTorch, "Numerical accuracy"
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import AttentionTry, Facts, Precision, Unknown
from preflight_ocr.harness.judging.failures import excuse_card
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DEV011",
    severity=Severity.MAJOR,
    basis=Basis.GPU,
    contract="the card computes what the CPU computes",
    needs=("accelerator",),
    keys=("model.attn_implementation", "model.torch_dtype"),
)


def excuse(facts: Facts) -> str:
    difference = known(facts.accelerator).precisions[0].difference
    return excuse_card(facts) or (difference.reason if isinstance(difference, Unknown) else "")


def examine(facts: Facts) -> Iterator[Finding]:
    accelerator = known(facts.accelerator)
    asked = accelerator.precisions[0]
    if not _is_far(asked):
        return
    tried = () if isinstance(accelerator.attention, Unknown) else accelerator.attention
    near = [a.name for a in tried if a.ended == "ok" and not a.is_used and not _is_far(a)]
    others = [p.name for p in accelerator.precisions[1:] if p.step == "ok" and not _is_far(p)]
    if near:
        fix, snippet = f"Use {near[0]} attention, which agrees.", f"model:\n  attn_implementation: {near[0]}"
    elif others:
        fix, snippet = f"Train with {others[0]}, which agrees.", ""
    else:
        fix, snippet = "Nothing that was tried agrees: look for an operation that depends on the device.", ""
    yield DIAGNOSIS.finding(
        f"With {asked.name} the card's logits differ from the CPU's by {asked.difference:.2g} of their size; "
        f"{asked.tolerance:g} is what rounding can explain.",
        evidence=(
            *(f"{p.name}: {_show(p)}" for p in accelerator.precisions),
            *(f"{a.name} attention: {_show(a)}" for a in tried if a.ended == "ok"),
        ),
        fix=fix,
        snippet=snippet,
    )


def _is_far(tried: Precision | AttentionTry) -> bool:
    return not isinstance(tried.difference, Unknown) and tried.difference > tried.tolerance


def _show(tried: Precision | AttentionTry) -> str:
    if isinstance(tried.difference, Unknown):
        return tried.difference.reason[:120]
    return f"{tried.difference:.2g}, {tried.tolerance:g} allowed"
