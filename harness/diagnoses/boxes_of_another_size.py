"""Boxes in the targets are in pixels of a page that the model is not shown.

## What it does
Reads the boxes that targets write as two corners, `[x1, y1, x2, y2]` or between box tags, and holds them against the size of
the page as it is in the data and as the batch shows it.

## Why it matters
A page that is larger than `max_pixels` is made smaller before the model sees it. Boxes that stay in pixels of the original
lie beyond the page that is shown, each page by another factor, so that there is nothing in the picture from which they could
be learnt. The loss falls all the same, because the texts are learnt.

## Example
A page of 2480x3508 is shown as 700x980; its target says `[1820, 2950, 2301, 3010]`.

## Use instead
Scale boxes to the page as it is shown, or to 0..1000 of its width and height:
```python
x = round(x * shown_width / original_width)
```

## References
- QwenLM/Qwen3-VL#1161, #721, #1035
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DAT012",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="boxes in the targets lie on the page that the model is shown",
    needs=("collator.boxes",),
    keys=("data.preprocessing.max_pixels", "data.train_path"),
)

FEWEST = 3  # boxes; four numbers in brackets may be anything once
SLACK = 1.0  # pixel
THOUSANDTHS = 1000.0


def examine(facts: Facts) -> Iterator[Finding]:
    rows = known(known(facts.collator).boxes)
    boxes = [(row, box) for row in rows for box in row.boxes]
    beyond = [(row, box) for row, box in boxes if not _fits(box, row.shown)]
    if len(boxes) < FEWEST or not beyond or not all(_fits(box, row.original) for row, box in boxes):
        return
    if max(max(box) for _, box in boxes) <= THOUSANDTHS < min(max(row.original) for row, _ in beyond):
        return  # on pages that large, these may as well be thousandths of the page
    yield DIAGNOSIS.finding(
        f"{count(len(beyond), 'box lies', 'boxes lie')} beyond the page that the model is shown, of {len(boxes)} in the "
        "targets of the sample; all of them lie within the page as it is in the data.",
        evidence=show_some(
            f"row {row.row} ({row.name}): {list(map(round, box))} on a page of {_show(row.original)}, shown as "
            f"{_show(row.shown)}"
            for row, box in beyond
        ),
        fix="Scale the boxes to the page as it is shown, or to 0..1000 of its sides; or raise max_pixels.",
        snippet="x = round(x * shown_width / original_width)",
    )


def _fits(box: tuple[float, float, float, float], size: tuple[int, int]) -> bool:
    return box[2] <= size[0] + SLACK and box[3] <= size[1] + SLACK


def _show(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
