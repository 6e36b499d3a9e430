"""A batch in which one row has no image fails or gives pages to the wrong rows.

## What it does
Where the data has rows without an image, collates one together with rows that have one.

## Why it matters
A collator that collects images and masks of the image rows only makes lists shorter than the batch. The model
indexes them by row number: pages land in the wrong rows, silently.

## Example
`images = [row.image for row in rows if row.image]` for a forward that reads `images[row_number]`.

## Use instead
One entry per row; a blank page with an all-False mask for a row without an image.

## References
- modelscope/ms-swift#6887.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Raised, Unknown
from preflight_ocr.harness.judging.failures import show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL014",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="a row without an image does not disturb the others",
    needs=("collator.batch",),
    keys=("subject.collator",),
)


def excuse(facts: Facts) -> str:
    mixed = known(facts.collator).mixed_rows
    return mixed.reason if isinstance(mixed, Unknown) else ""


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    fix = "Give every row an entry; a blank page with an all-False mask where there is no image."
    if isinstance(collator.mixed_rows, Raised):
        yield DIAGNOSIS.finding(
            f"A batch with one row without an image ended with {show_raised(collator.mixed_rows)}.",
            fix=fix,
            places=list_places(collator.mixed_rows),
        )
    elif collator.mixed_swaps:
        yield DIAGNOSIS.finding(
            "In a batch with one row without an image, pages are given to the wrong rows.",
            fix=fix,
            evidence=show_some(f"row {row} has another row's page or mask" for row in collator.mixed_swaps),
        )
