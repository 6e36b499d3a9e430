"""Image placeholders are trained on.

## What it does
Counts image placeholders whose label is not -100.

## Why it matters
Hundreds of placeholders per row outweigh the text. The model learns to print image tokens; the loss looks better
than it is.

## Example
The labels are made first, and the processor expands one placeholder to hundreds afterwards.

## Use instead
Set labels to -100 wherever `input_ids` is the image token, after expansion.

## References
- NielsRogge/Transformers-Tutorials#511.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import count_trained, get_rows
from preflight_ocr.harness.judging.wording import count, count_part, known, name_image_token, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LBL003",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="image placeholders are masked in the labels",
    needs=("collator.batch.rows",),
    explains=("worse_than_guessing",),
    keys=("subject.collator",),
    entries=("labels",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    rows = get_rows(known(facts.collator).batch)
    unmasked = [(n, number) for n, row in enumerate(rows) if (number := count_trained(row, "i"))]
    if not unmasked:
        return
    yield DIAGNOSIS.finding(
        f"{count_part(len(unmasked), len(rows), 'is', 'are')} trained on image tokens; expected -100 there.",
        fix="Mask the image token in the labels, after it was expanded.",
        snippet=f"{name_image_token(known(facts.collator).placeholder)}labels[input_ids == image_token_id] = -100",
        evidence=show_some(f"row {n}: {count(number, 'image token')} trained on" for n, number in unmasked),
    )
