"""The loss changes its size with gradient accumulation.

## What it does
Compares the logged loss with accumulation and without it, over the same rows.

## Why it matters
Gradients are off by the same factor: the learning rate is not the one in the configuration, gradient clipping
always or never strikes, and two runs cannot be compared.

## Example
A forward that ignores `num_items_in_batch` under a Trainer that counts on it: the loss is multiplied by the
accumulation steps.

## Use instead
Use the loss function of the model with `num_items_in_batch`, or a Trainer that divides by the accumulation steps.

## References
- web-31 in the project's list of real failures.
- transformers documentation, `Trainer`: `model_accepts_loss_kwargs`.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known

TOLERANCE = 0.1  # rows of unequal length weigh differently in a mean of means

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRN005",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="the loss is the same with and without gradient accumulation",
    needs=("learning.accumulation_ratio",),
    keys=("training.gradient_accumulation_steps", "subject.trainer"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    ratio = known(known(facts.learning).accumulation_ratio)
    if abs(ratio - 1) <= TOLERANCE:
        return
    steps = (
        ""
        if isinstance(facts.configuration, Unknown)
        else f" over {count(facts.configuration.accumulation_steps, 'step')}"
    )
    yield DIAGNOSIS.finding(
        f"With gradient accumulation{steps} the loss is {ratio:.3g} times what it is without; expected the same.",
        fix="Divide by num_items_in_batch where the Trainer gives it, and by the accumulation steps where it does not.",
        snippet="loss = cross_entropy(logits, labels, reduction='sum') / num_items_in_batch",
        evidence=(f"ratio {ratio:.4f}",),
    )
