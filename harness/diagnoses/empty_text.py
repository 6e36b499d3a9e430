"""A row with nothing to read.

## What it does
Looks for rows whose `text` is empty or only white space.

## Why it matters
Such a row teaches the model to answer a page with silence. A batch of nothing but such rows has no trained label at
all, and its loss is nan.

## Example
```json
{"image_path": "pages/0007.png", "text": ""}
```

## Use instead
Transcribe the page, or delete the row.

## References
- PyTorch, "CrossEntropyLoss": the mean over no label is nan
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_rows, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DAT006",
    severity=Severity.MAJOR,
    basis=Basis.READ,
    contract="every row has a text to learn",
    needs=("dataset",),
    keys=("data.train_path", "data.val_path"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    rows = show_rows(known(facts.dataset), "empty text")
    if rows:
        yield DIAGNOSIS.finding(
            f"{count(len(rows), 'row has', 'rows have')} no text: the model would learn to answer these pages with "
            "an empty text.",
            evidence=show_some(rows),
            fix="Transcribe these pages, or delete their rows.",
        )
