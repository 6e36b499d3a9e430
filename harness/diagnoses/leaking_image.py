"""Changing the image of one row changes the answer for another row.

## What it does
Replaces the page of one row at a time and compares the logits of all other rows, which must not change.

## Why it matters
Rows are trained on pages that are not theirs. The loss still falls a little, because the text alone can be learned
by heart, and the model learns to ignore the image.

## Example
A row with too few placeholders in a model that scatters the features of the whole batch at once: every later row
gets the rest of its neighbour's page.

## Use instead
One run of placeholders per image, as long as that image's features, and images in the order of the rows.

## References
- modelscope/ms-swift#6887: features land in the wrong row of a mixed batch.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.exchange import is_order
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD009",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="changing an image changes its own row and no other",
    needs=("forward.behaviour.image_leaks",),
    explains=("padding_changes_row",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    leaks = known(known(known(facts.forward).behaviour).image_leaks)
    if not leaks or is_order(facts):  # whole rows stand in another order: each hears of its own page
        return
    yield DIAGNOSIS.finding(
        f"Changing one row's image changes the logits of {count(len({other for _, other in leaks}), 'other row')}; "
        "expected none.",
        fix="Keep images in the order of the rows and give each row as many placeholders as its image has features.",
        evidence=show_some(f"the image of row {row} reaches row {other}" for row, other in leaks),
    )
