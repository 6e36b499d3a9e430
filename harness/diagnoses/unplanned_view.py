"""A page that calls for no tiles is given a local view.

## What it does
Counts the views of each row that are not blank, and compares them with the number its page size calls for.

## Why it matters
The model takes the extra view for a tile and inserts its features in front of those of the page. There are no
placeholders for them, so the end of the page is cut off.

## Example
The same tensor as tile and as global view, with tiling `[1, 1]`.

## Use instead
Give a page without tiles a blank (all-zero) tile, as the model's own preparation does.

## References
- chain-19 in the project's list of real failures.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, count_part, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL008",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="a page that needs no tiles has none",
    needs=("collator.batch", "collator.planned_tiles", "collator.seen_tiles"),
    explains=("failing_batch",),
    keys=("data.preprocessing.crop_mode", "subject.collator"),
    entries=("pixels",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    planned, seen = known(known(facts.collator).planned_tiles), known(known(facts.collator).seen_tiles)
    extra = [(row, views) for row, (want, views) in enumerate(zip(planned, seen, strict=False)) if views > want == 0]
    if not extra:
        return
    yield DIAGNOSIS.finding(
        f"{count_part(len(extra), len(seen), 'has', 'have')} local views although the page fits the global one.",
        fix="Use an all-zero tile for a page without tiles.",
        snippet="tiles = torch.zeros_like(page)",
        evidence=show_some(f"row {row}: {count(views, 'local view')}, expected none" for row, views in extra),
    )
