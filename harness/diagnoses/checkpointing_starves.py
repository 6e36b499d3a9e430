"""Gradient checkpointing cuts adapters off from their gradient.

## What it does
Counts adapters with a gradient by part, with checkpointing off and on.

## Why it matters
The re-entrant kind of checkpointing passes a gradient only through inputs that require one. In a frozen tower none
does: its adapters silently stay what they were.

## Example
`gradient_checkpointing: true` with adapters in a frozen vision tower.

## Use instead
`gradient_checkpointing_kwargs: {use_reentrant: false}`

## References
- unslothai/unsloth#5039, 2U1/Qwen-VL-Series-Finetune#193.
- PyTorch documentation, `torch.utils.checkpoint`.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import is_supervised
from preflight_ocr.harness.judging.wording import known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRN002",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="gradient checkpointing leaves every adapter its gradient",
    needs=("learning.census",),
    where="training.gradient_checkpointing is on",
    keys=("training.gradient_checkpointing_kwargs", "training.gradient_checkpointing"),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.configuration, Unknown) or facts.configuration.gradient_checkpointing


def excuse(facts: Facts) -> str:
    if not is_supervised(facts):
        return "no label is trained on, so no gradient could be seen"
    census = known(known(facts.learning).census)
    return "" if any(c.checkpointing for c in census) else "no step with gradient checkpointing was counted"


def examine(facts: Facts) -> Iterator[Finding]:
    census = known(known(facts.learning).census)
    fed = {c.part: c.with_gradient for c in census if not c.checkpointing}
    starved = [c for c in census if c.checkpointing and not c.with_gradient and fed.get(c.part)]
    if not starved:
        return
    yield DIAGNOSIS.finding(
        f"With gradient checkpointing no adapter in {', '.join(c.part for c in starved)} gets a gradient.",
        fix="Use the non-re-entrant kind of checkpointing.",
        snippet="training: {gradient_checkpointing: true, gradient_checkpointing_kwargs: {use_reentrant: false}}",
        evidence=show_some(
            f"{c.part}: {fed[c.part]} of {c.adapters} adapters with a gradient without checkpointing, 0 with it"
            for c in starved
        ),
    )
