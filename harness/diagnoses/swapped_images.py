"""A row is given the page of another row.

## What it does
Recognises each page in the batch and compares its row with the row of the text. Where no page can be recognised, it
changes one row's page at a time and looks at whose logits move. A collator that sorts whole rows moves both and is fine.

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

from preflight_ocr.harness.facts import Facts, PixelView, Unknown
from preflight_ocr.harness.judging.exchange import is_followed, list_exchanged, moved_together
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count_part, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL013",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="every row has its own page",
    needs=("collator.batch",),
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
    if any(view.source_row is not None for view in _list_views(facts)) or list_exchanged(facts) or _is_seen(facts):
        return ""
    views = known(facts.collator).views
    return views.reason if isinstance(views, Unknown) else "no page was recognised in the batch"


def examine(facts: Facts) -> Iterator[Finding]:
    batch = known(known(facts.collator).batch)
    views = _list_views(facts)
    swapped = [
        (v.row, v.source_row, f"row {v.row}: {v.path} shows the page of row {v.source_row}")
        for v in views
        if v.source_row is not None and v.source_row != v.row
    ]
    if not any(view.source_row is not None for view in views):
        swapped = [
            (row, source, f"row {row}: its logits hear of the page of row {source}, and of no other")
            for row, source in list_exchanged(facts)
        ]
    swapped = [one for one in swapped if not moved_together(facts, *one[:2])]
    if not swapped:
        return
    yield DIAGNOSIS.finding(
        f"{count_part(len({row for row, *_ in swapped}), batch.rows_out, 'has', 'have')} the page of another row.",
        fix="Keep image and text of a row together; sort rows, not texts.",
        evidence=show_some(said for *_, said in swapped),
        owners=() if batch.rows_in == batch.rows_out else ("dropped_rows",),
    )


def _list_views(facts: Facts) -> tuple[PixelView, ...]:
    views = known(facts.collator).views
    return () if isinstance(views, Unknown) else views


def _is_seen(facts: Facts) -> bool:
    """Whether every row that has a page hears of its own."""
    return is_followed(facts) and False not in known(known(facts.forward).behaviour).image_reaches
