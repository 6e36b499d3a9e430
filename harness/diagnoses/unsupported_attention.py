"""The attention implementation that the run will use does not work on the card; another one does.

## What it does
Loads the model with each implementation the card and the packages can have (eager, sdpa, flash attention from capability
8.0 on), and computes one forward on the card with each.

## Why it matters
Which kernel runs depends on the card, the dtype, the head size and the mask. One that refuses stops the first step; one
that computes something else changes the model without a word.

## Example
```text
sdpa: RuntimeError: No available kernel. Aborting execution.;  eager: agrees with the CPU
```

## Use instead
```yaml
model: {attn_implementation: eager}
```

## References
- PyTorch, "torch.nn.functional.scaled_dot_product_attention"
- transformers, "Attention backends"
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import AttentionTry, Facts, Raised, Unknown
from preflight_ocr.harness.judging.failures import excuse_card, show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DEV013",
    severity=Severity.BLOCKER,
    basis=Basis.GPU,
    contract="the attention of this run works on the card",
    needs=("accelerator", "accelerator.attention"),
    explains=("failing_on_card", "failing_dtype", "diverging_from_cpu"),
    keys=("model.attn_implementation",),
)


def excuse(facts: Facts) -> str:
    tried = known(known(facts.accelerator).attention)
    used = next((a for a in tried if a.is_used), None)
    if used is None:
        return "neither the configuration nor the model says which attention is used"
    return excuse_card(facts) or (used.ended.reason if isinstance(used.ended, Unknown) else "")


def examine(facts: Facts) -> Iterator[Finding]:
    tried = known(known(facts.accelerator).attention)
    used = next(a for a in tried if a.is_used)
    working = [a.name for a in tried if not a.is_used and _works(a)]
    if _works(used) or not working:
        return
    seen = (
        f"ended with {show_raised(used.ended)}"
        if isinstance(used.ended, Raised)
        else f"gives logits that differ from the CPU's by {used.difference:.2g} of their size, {used.tolerance:g} "
        "is allowed"
    )
    yield DIAGNOSIS.finding(
        f"On the card {used.name} attention {seen}; {', '.join(working)} works.",
        evidence=tuple(f"{a.name}: {_tell(a)}" for a in tried),
        places=list_places(used.ended),
        fix=f"Use {working[-1]}.",
        snippet=f"model:\n  attn_implementation: {working[-1]}",
    )


def _works(tried: AttentionTry) -> bool:
    if tried.ended != "ok":
        return False
    return isinstance(tried.difference, Unknown) or tried.difference <= tried.tolerance


def _tell(tried: AttentionTry) -> str:
    if isinstance(tried.ended, Raised):
        return f"{tried.ended.type}: {tried.ended.message[:120]}"
    if isinstance(tried.ended, Unknown):
        return tried.ended.reason
    return "ok" if isinstance(tried.difference, Unknown) else f"{tried.difference:.2g} from the CPU"
