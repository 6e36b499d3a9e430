"""Boxes in the targets, beside the size of the page that they are on and of the page that the model is shown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preflight_ocr.harness.facts import BoxedRow, Raised, Unknown
from preflight_ocr.probes.workbench.assembly import Assembly, read_text
from preflight_ocr.probes.workbench.tracing import attempt

_N = r"\s*(\d+(?:\.\d+)?)\s*"
_BOX = re.compile(
    rf"\[{_N},{_N},{_N},{_N}\]"  # [x1, y1, x2, y2], within <box>, <|det|> and JSON as well
    rf"|<box>{_N},{_N},{_N},{_N}</box>"
    rf"|<(?:\|box_start\||box)>\s*\({_N},{_N}\)\s*,\s*\({_N},{_N}\)\s*<(?:\|box_end\||/box)>"
)
_MOST = 200  # boxes of a row


def find_boxes(text: str) -> tuple[tuple[float, float, float, float], ...]:
    """The boxes that a text writes as two corners, the upper left one first. Four numbers in another order are no box."""
    found = []
    for match in _BOX.finditer(text):
        x1, y1, x2, y2 = (float(number) for number in match.groups() if number is not None)
        if x1 < x2 and y1 < y2:
            found.append((x1, y1, x2, y2))
    return tuple(found[:_MOST])


def look_at_boxes(
    parts: Assembly, given: Mapping[str, Any], roles: Mapping[str, str], rows: Sequence[Mapping[str, Any]]
) -> tuple[BoxedRow, ...] | Unknown:
    """The rows with boxes. The size of the page as it is shown is read from the grid of its patches."""
    if parts.reference is None:
        return Unknown(reason=f"{parts.no_reference}, and none of its pages")
    boxed = [(number, boxes) for number, row in enumerate(rows) if (boxes := find_boxes(read_text(row)))]
    if not boxed:
        return ()
    packing = parts.reference.intake.packing
    name = next((name for name, role in roles.items() if role == "grid"), None)
    grid: Any = given.get(name) if name is not None else None
    if packing is None or not hasattr(grid, "tolist"):
        return Unknown(reason="the batch does not say how large its pages are in pixels")
    pages = grid.tolist()
    if len(pages) != len(rows) or any(len(page) != 3 for page in pages):
        return Unknown(reason="the pages of the batch are not one for each row")
    sizes = [attempt(lambda row=row: parts.open_page(row).size) for row in rows]  # type: ignore[misc]
    found: list[BoxedRow] = []
    for number, boxes in boxed:
        original = sizes[number]
        if isinstance(original, Raised):
            return Unknown(reason=f"a page could not be opened: {original.message}")
        _, height, width = pages[number]
        found.append(
            BoxedRow(
                row=number,
                name=Path(parts.name_page(rows[number])).name,
                original=original,
                shown=(width * packing.patch, height * packing.patch),
                boxes=boxes,
            )
        )
    return tuple(found)
