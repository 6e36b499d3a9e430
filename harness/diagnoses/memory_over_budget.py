"""A training step needs more memory than the card has.

## What it does
Follows one training step of the whole model on your worst row, with your optimizer, batch size and checkpointing, on
tensors that have shapes and no numbers, and holds its peak against `budget.vram_gb`. `preflight memory` shows every part
of the same prediction.

## Why it matters
What is over the budget here ends as "CUDA out of memory" on the card: at the first step, or hours later at the longest
page.

## Example
```yaml
budget: {vram_gb: 16}
model: {torch_dtype: float32}
training: {per_device_train_batch_size: 4}
```

## Use instead
```yaml
model: {torch_dtype: bfloat16}
training: {bf16: true, per_device_train_batch_size: 1, gradient_accumulation_steps: 4}
```

## References
- transformers, "GPU memory: model training anatomy"
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Configuration, Facts, MemoryForecast, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, spell_bytes

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="MEM001",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="a training step fits into the memory of the card",
    needs=("configuration", "memory"),
    where="a budget of memory is given",
    keys=("budget.vram_gb",),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.configuration, Unknown) or facts.configuration.budget_bytes is not None


def excuse(facts: Facts) -> str:
    forecast = known(facts.memory)
    return "" if forecast.fits is not None else "; ".join(forecast.unknown)


def examine(facts: Facts) -> Iterator[Finding]:
    forecast = known(facts.memory)
    if forecast.fits is not False or forecast.budget is None:
        return
    budget = spell_bytes(forecast.budget)
    if forecast.needed is None:
        weights = spell_bytes(forecast.weight_bytes or 0)
        yield DIAGNOSIS.finding(
            f"The weights alone take {weights}; the budget is {budget}. Nothing can be trained in it.",
            evidence=forecast.unknown[:3],
            fix=f"Load the weights in a smaller dtype, or take a card with more than {weights}.",
        )
        return
    enough = next((change for change in forecast.changes if change.fits), forecast.together)
    yield DIAGNOSIS.finding(
        f"A training step needs {spell_bytes(forecast.needed)} at batch size {_count_rows(facts, forecast)}; the budget is "
        f"{budget}. It will run out of memory.",
        evidence=tuple(_list_evidence(forecast)),
        fix=f"Use {enough.words}: {spell_bytes(enough.needed)}."
        if enough
        else f"No change of the YAML is enough: take a card with at least {spell_bytes(forecast.needed)}.",
        snippet=enough.yaml if enough else "",
    )


def _list_evidence(forecast: MemoryForecast) -> Iterator[str]:
    if forecast.peak is not None:
        parts = sorted(forecast.peak.parts.items(), key=lambda item: -item[1])
        yield ", ".join(f"{part} {spell_bytes(size)}" for part, size in parts)
    if forecast.step is not None:
        yield f"the longest row has {forecast.step.longest_row} tokens: {forecast.step.worst_row}"
    for change in forecast.changes[:6]:
        yield f"with {change.words}: {spell_bytes(change.needed)}"


def _count_rows(facts: Facts, forecast: MemoryForecast) -> int:
    if forecast.step is not None:
        return forecast.step.batch_size
    configuration = facts.configuration
    return configuration.batch_size if isinstance(configuration, Configuration) else 1
