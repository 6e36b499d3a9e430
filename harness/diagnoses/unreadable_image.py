"""An image file that cannot be decoded.

## What it does
Opens every image, looks whether it is one at all and whether its end is there, and decodes it: 100 million pixels of each
split. Where pictures lie beyond that and none is damaged, the contract is skipped, and the reason counts them.

## Why it matters
A download that broke off leaves a file that opens and fails when its pixels are read, at the step that meets the row.
A collator that catches the exception and goes on trains on fewer rows than it says.

## Example
```text
pages/0007.jpg: image file is truncated (38 bytes not processed)
```

## Use instead
Fetch or export the file again, or delete the row. `ImageFile.LOAD_TRUNCATED_IMAGES` only hides it: the lower part of
the page becomes grey while its text stays in the target.

## References
- Pillow, "ImageFile module": LOAD_TRUNCATED_IMAGES
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_rows, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DAT002",
    severity=Severity.BLOCKER,
    basis=Basis.READ,
    contract="every row's image can be decoded",
    needs=("dataset", "dataset.image_pixels"),
    explains=("failing_collator",),
    keys=("data.train_path", "data.val_path"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    rows = show_rows(known(facts.dataset), "unreadable image", "truncated image")
    if rows:
        yield DIAGNOSIS.finding(
            f"{count(len(rows), 'image')} cannot be decoded to the end. Training stops when it meets the first of "
            "them.",
            evidence=show_some(rows),
            fix="Fetch or export these files again, or delete their rows.",
        )
