"""A row names an image file that is not there.

## What it does
Looks for every image of every `metadata.json`.

## Why it matters
Images are opened when their batch is built. The run stops at the step that meets the row, which may be in the third
hour.

## Example
```json
{"image_path": "pages/0007.png", "text": "..."}
```
and there is no `pages/0007.png` beside that `metadata.json`.

## Use instead
Correct the path (it is relative to the directory of `metadata.json`; capital letters count on Linux), or delete the
row.

## References
- PyTorch, "torch.utils.data": map-style datasets read a row when it is asked for
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_rows, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DAT001",
    severity=Severity.BLOCKER,
    basis=Basis.READ,
    contract="every row's image file exists",
    needs=("dataset",),
    explains=("failing_collator",),
    keys=("data.train_path", "data.val_path"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    rows = show_rows(known(facts.dataset), "missing image")
    if rows:
        yield DIAGNOSIS.finding(
            f"{count(len(rows), 'row names', 'rows name')} an image file that does not exist. Training stops when "
            "it meets the first.",
            evidence=show_some(rows),
            fix="Correct these paths (relative to the directory of metadata.json; case matters), or delete the rows.",
        )
