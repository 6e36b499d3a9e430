"""A row is given the page of another row.

## What it does
Recognises each page in the batch and compares its row with the row of the text. A collator that sorts whole rows
moves both and is fine.

## Why it matters
Every pair of image and text is wrong, and everything else looks right. The model learns to write likely text
whatever the page shows.

## Example
Texts sorted by length for tight padding, images left in the order of the rows.

## Use instead
Sort rows, never one part of them.

## References
- web-32 in the project's list of real failures.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, PixelView
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import get_rows, squeeze
from preflight_ocr.harness.judging.wording import count_part, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL013",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="every row has its own page",
    needs=("collator.batch", "collator.views"),
    explains=(
        "malformed_tiling",  # the tiling that came along with the pages, or stayed behind
        "placeholder_mismatch",
        "failing_batch",
        "leaking_image",
        "padding_changes_row",  # the row alone shows its own page
        "unseen_image",
        "worse_than_guessing",
    ),
    keys=("subject.collator",),
    entries=("pixels",),
)


def excuse(facts: Facts) -> str:
    views = known(known(facts.collator).views)
    return "" if any(v.source_row is not None for v in views) else "no page was recognised in the batch"


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    batch, views = known(collator.batch), known(collator.views)
    swapped = [v for v in views if v.source_row not in (None, v.row) and not _moved_together(facts, v)]
    if not swapped:
        return
    yield DIAGNOSIS.finding(
        f"{count_part(len({v.row for v in swapped}), batch.rows_out, 'has', 'have')} the page of another row.",
        fix="Keep image and text of a row together; sort rows, not texts.",
        evidence=show_some(f"row {v.row}: {v.path} shows the page of row {v.source_row}" for v in swapped),
        owners=() if batch.rows_in == batch.rows_out else ("dropped_rows",),
    )


def _moved_together(facts: Facts, view: PixelView) -> bool:
    """Whether the text of the page's row came along."""
    rows = get_rows(known(facts.collator).batch)
    if view.source_row is None or max(view.row, view.source_row) >= len(rows):
        return False
    own, other = squeeze(rows[view.row].target_text), squeeze(rows[view.source_row].target_text)
    trained = squeeze(rows[view.row].supervised_text)
    return bool(other) and other in trained and (own == other or own not in trained)
