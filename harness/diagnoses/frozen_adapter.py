"""Adapters get no gradient because it ends in the language model, or they never move.

## What it does
Counts, part by part, the adapters that had a gradient after backward and those that changed in two optimizer steps.
An expert that no token was routed to is no fault. A decoder block whose hidden states carry a gradient on their way in
and none on their way out is named: nothing before it learns, the vision part included.

## Why it matters
`lora_B` starts at zero. An adapter outside the graph of the loss leaves it there: the run prints a loss, saves a
file, and the file changes nothing.

## Example
The output of the adapted layer is detached, or the optimizer was built before the adapter was added.

## Use instead
Add the adapter first, then build the optimizer; keep `no_grad` and `detach` off the way from the adapter to the
loss.

## References
- unslothai/unsloth#3089, locuslab/open-unlearning#178.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Census, Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import is_supervised
from preflight_ocr.harness.judging.wording import known, show_some

PARTS = ("attention", "mlp", "experts")

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRN001",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="every adapter of the language model gets a gradient and moves, and lets it through to what lies before",
    needs=("learning.census",),
    explains=("flat_loss",),
    keys=("subject.peft", "lora.target_modules"),
)


def excuse(facts: Facts) -> str:
    if not is_supervised(facts):
        return "no label is trained on, so no gradient could be seen"
    census = known(known(facts.learning).census)
    return "" if any(c.adapters for c in census if not c.checkpointing) else "no adapter was counted"


def examine(facts: Facts) -> Iterator[Finding]:
    learning = known(facts.learning)
    severed = () if isinstance(learning.severed, Unknown) else learning.severed
    census = [c for c in known(learning.census) if (c.part in PARTS or severed) and not c.checkpointing]
    still = [(c, said) for c in census if (said := _describe(c))]
    if not still:
        return
    yield DIAGNOSIS.finding(
        f"Adapters in {', '.join(c.part for c, _ in still)} do not learn: two steps did not change them.",
        fix="Add the adapter before the optimizer is built, and use neither no_grad nor detach between the adapter and "
        "the loss.",
        evidence=(
            *(f"the gradient does not get through {block}" for block in severed[:1]),
            *show_some(f"{c.part}: {said}" for c, said in still),
        ),
    )


def _describe(census: Census) -> str:
    reached = census.adapters - census.unreached
    if census.with_gradient < reached:
        return f"{reached - census.with_gradient} of {reached} adapters have no gradient"
    if reached > 0 and not census.moved:
        return f"{reached} adapters have a gradient and none moved"
    return ""
