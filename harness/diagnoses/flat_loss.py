"""The loss does not fall although one batch is repeated.

## What it does
Takes a few optimizer steps on one and the same batch and compares the losses with the first one.

## Why it matters
A model that cannot learn one batch by heart will not learn a data set. It is the cheapest test there is, and it
catches what nothing else does.

## Example
A loss of 6.25, 6.25, 6.25: the adapter is not in the graph, or the learning rate is zero.

## Use instead
Check in this order: labels, gradients of the adapter, the optimizer's parameters, the learning rate.

## References
- Andrej Karpathy, "A Recipe for Training Neural Networks": overfit one batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import is_supervised
from preflight_ocr.harness.judging.wording import known

LEARNED = 0.01  # a loss below this has nothing left to fall
FALL = 1e-4  # an adapter outside the graph gives equal losses; float noise stays below this share

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRN003",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="the loss falls when one batch is repeated",
    needs=("learning.losses",),
    keys=("training.learning_rate",),
)


def excuse(facts: Facts) -> str:
    if not is_supervised(facts):
        return "no label is trained on, so the loss cannot fall"
    return "" if len(known(known(facts.learning).losses)) > 1 else "fewer than two steps were taken"


def examine(facts: Facts) -> Iterator[Finding]:
    losses = known(known(facts.learning).losses)
    first, rest = losses[0], losses[1:]
    finite = all(math.isfinite(loss) for loss in losses)
    if finite and (0 < first < LEARNED or min(rest) < first - FALL * abs(first)):
        return
    yield DIAGNOSIS.finding(
        f"One batch repeated {len(losses)} times: the loss goes from {first:.4g} to {losses[-1]:.4g}; expected it "
        "to fall.",
        fix="Check the labels, the adapter's gradients, the optimizer's parameters and the learning rate, in this order.",
        evidence=("losses: " + ", ".join(f"{loss:.4g}" for loss in losses),),
    )
