"""A training step needs more memory than the card has.

## What it does
Measures what one training step of this model at this batch size needs at least (weights, gradients, optimizer,
activations, logits) and holds it against `budget.vram_gb`.

## Why it matters
The measure is a lower bound: allocator and kernels come on top. What is over the budget here ends as "CUDA out of
memory" on the card, at the first step or at the longest page.

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

import msgspec

from preflight_ocr.harness.facts import Configuration, Facts, MemoryNeed, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

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


class Lever(msgspec.Struct, frozen=True):
    """A change of the configuration, in words and as YAML, and what a step needs after it."""

    words: str
    yaml: str
    need: MemoryNeed


def applies(facts: Facts) -> bool:
    return isinstance(facts.configuration, Unknown) or facts.configuration.budget_bytes is not None


def examine(facts: Facts) -> Iterator[Finding]:
    configuration, need = known(facts.configuration), known(facts.memory)
    budget = configuration.budget_bytes
    if budget is None or need.total <= budget:
        return
    levers = tuple(_list_levers(configuration, need))
    enough = next((lever for lever in levers if lever.need.total <= budget), None)
    parts = ("weights", "gradients", "optimizer", "activations", "logits")
    more = "" if configuration.gradient_checkpointing else "gradient checkpointing, "
    yield DIAGNOSIS.finding(
        f"A training step needs at least {_show(need.total)} at batch size {need.batch_size}; the budget is "
        f"{_show(budget)}. It will run out of memory.",
        evidence=(
            ", ".join(f"{part} {_show(getattr(need, part))}" for part in parts),
            f"longest row: {need.longest_row} tokens",
            *(f"with {lever.words}: {_show(lever.need.total)}" for lever in levers),
        ),
        fix=f"Use {enough.words}: about {_show(enough.need.total)}."
        if enough
        else f"None of these is enough by itself: add {more}smaller images or shorter rows, or take a larger card.",
        snippet=enough.yaml if enough else levers[-1].yaml if levers else "",
    )


def _list_levers(configuration: Configuration, need: MemoryNeed) -> Iterator[Lever]:
    """From the smallest change to the largest; what is frozen is halved, what is trained stays in float32."""
    half = msgspec.structs.replace(
        need, weights=need.weights // 2, activations=need.activations // 2, logits=need.logits // 2
    )
    single = f"per_device_train_batch_size: 1\n  gradient_accumulation_steps: {_accumulate(configuration, need)}"
    is_full = configuration.torch_dtype in (None, "float32")
    if need.batch_size > 1:
        yield Lever("batch size 1 and accumulation", f"training:\n  {single}", _shrink(need))
    if is_full:
        yield Lever("bfloat16", "model:\n  torch_dtype: bfloat16\ntraining:\n  bf16: true", half)
    if is_full and need.batch_size > 1:
        yaml = f"model:\n  torch_dtype: bfloat16\ntraining:\n  bf16: true\n  {single}"
        yield Lever("bfloat16, batch size 1 and accumulation", yaml, _shrink(half))


def _shrink(need: MemoryNeed) -> MemoryNeed:
    rows = need.batch_size
    return msgspec.structs.replace(need, activations=need.activations // rows, logits=need.logits // rows, batch_size=1)


def _accumulate(configuration: Configuration, need: MemoryNeed) -> int:
    """The accumulation that keeps the number of rows in an optimizer step."""
    return configuration.accumulation_steps * need.batch_size


def _show(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.1f} MiB"
