"""The prompt is trained on.

## What it does
Counts prompt tokens whose label is not -100. A row whose target was not found among its tokens is left out: there
the prompt cannot be told from the target.

## Why it matters
The prompt is the same in every row and learned by heart within a few steps. From then on it thins out the loss, and
the adapter spends its capacity on words it will never have to write.

## Example
Labels are masked at the image and at the padding, but not at `Free OCR.`.

## Use instead
Mask everything up to the first token of the target.

## References
- TRL documentation, `completion_only_loss`.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Row
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import count_trained, excuse_unfound_target, get_rows, is_ahead
from preflight_ocr.harness.judging.wording import count, count_part, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LBL002",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="the prompt is masked in the labels",
    needs=("collator.batch.rows",),
    keys=("subject.collator",),
    entries=("labels",),
)


def excuse(facts: Facts) -> str:
    rows = get_rows(known(facts.collator).batch)
    return excuse_unfound_target(rows)


def examine(facts: Facts) -> Iterator[Finding]:
    rows = get_rows(known(facts.collator).batch)
    every = [(n, number) for n, row in enumerate(rows) if (number := _count(row))]
    # Labels that were shifted too early reach into the prompt as well.
    unmasked = [(n, number) for n, number in every if not is_ahead(rows[n])]
    owners = () if unmasked else ("wrong_target",)
    unmasked = unmasked or every
    if not unmasked:
        return
    yield DIAGNOSIS.finding(
        f"{count_part(len(unmasked), len(rows), 'is', 'are')} trained on prompt tokens; expected -100 there.",
        fix="Mask all labels in front of the target with -100.",
        snippet="labels[row, :target_start] = -100",
        evidence=show_some(f"row {n}: {count(number, 'prompt token')} trained on" for n, number in unmasked),
        owners=owners,
    )


def _count(row: Row) -> int:
    return count_trained(row, "p") if "t" in row.roles else 0
