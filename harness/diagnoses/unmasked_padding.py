"""Padding is trained on.

## What it does
Counts padding tokens whose label is not -100. Where pad and EOS share an id, the first one behind the target is its
EOS.

## Why it matters
The shorter a row, the more of its loss is padding. The model learns that after a token of padding comes another.

## Example
The labels are padded with the pad id instead of -100.

## Use instead
Pad labels with -100.

## References
- transformers documentation, `DataCollatorForSeq2Seq`: `label_pad_token_id=-100`.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Row
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import count_trained, get_rows
from preflight_ocr.harness.judging.wording import count, count_part, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LBL004",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="padding is masked in the labels",
    needs=("collator.batch.rows",),
    keys=("subject.collator",),
    entries=("labels",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    rows = get_rows(known(facts.collator).batch)
    unmasked = [(n, number) for n, row in enumerate(rows) if (number := _count(row))]
    if not unmasked:
        return
    yield DIAGNOSIS.finding(
        f"{count_part(len(unmasked), len(rows), 'is', 'are')} trained on padding tokens; expected -100 there.",
        fix="Pad labels with -100.",
        snippet="labels[attention_mask == 0] = -100",
        evidence=show_some(f"row {n}: {count(number, 'padding token')} trained on" for n, number in unmasked),
    )


def _count(row: Row) -> int:
    count = count_trained(row, ".")
    ends_in_pad = count == 1 and "e" not in row.roles and "1" in row.trained[row.roles.rfind("t") + 1 :][:1]
    return 0 if ends_in_pad else count
