"""Rows that are trained on and then used to measure.

## What it does
Compares the rows of train with those of val and test: the same image with the same text stands on both sides.

## Why it matters
The score then measures memory. Early stopping waits for a model that is best at repeating, and the number in the
report does not hold for any new page.

## Example
```text
train/metadata.json and val/metadata.json both have pages/0007.png
```

## Use instead
Delete the row from one side; split by page or by writer, not by line.

## References
- scikit-learn, "Common pitfalls and recommended practices": data leakage
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DAT007",
    severity=Severity.MAJOR,
    basis=Basis.READ,
    contract="no row that is trained on is used to measure",
    needs=("dataset",),
    keys=("data.val_path", "data.test_path"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    shared = known(facts.dataset).shared_rows
    if shared:
        yield DIAGNOSIS.finding(
            f"{count(len(shared), 'row is', 'rows are')} both in train and in val or test: the score would reward "
            "what was memorised.",
            evidence=show_some(shared),
            fix="Delete them from one side; split by page or by writer.",
        )
