"""The same rows give another batch the second time.

## What it does
Collates the same rows twice with the same seed set before, and with seeded generators of the collator's own as they were,
and compares every value. One that was made without a seed goes on.

## Why it matters
A run cannot be repeated, a failure cannot be reproduced, and a comparison of two settings measures chance as well.

## Example
`random.Random()` without a seed for an augmentation, or the order of a `set` of keys.

## Use instead
Draw from the generators that `training.seed` seeds, or from one seeded by the row's number.

## References
- PyTorch documentation, reproducibility.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import OURS, Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL018",
    severity=Severity.MINOR,
    basis=Basis.RAN,
    contract="the same rows and the same seed give the same batch",
    needs=("collator.batch", "collator.deterministic"),
    # What is not held still differs whatever was changed, and may be brighter.
    explains=("padding_changes_row", "leaking_image", "foreign_normalisation"),
    keys=("subject.collator",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    if collator.deterministic is not False or collator.owner == OURS:
        return
    yield DIAGNOSIS.finding(
        f"{collator.owner} gave two different batches for the same rows and the same seed.",
        fix="Draw random numbers from the generators that training.seed seeds.",
        snippet="generator = random.Random(row_number)",
    )
