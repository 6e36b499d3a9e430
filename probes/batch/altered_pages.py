"""What was done to the pages, found out by doing it: our own collator on changed copies of them.

Where a processor cuts, squashes or packs a page by itself, a changed page cannot be told by looking at one view. But if the
user's pixels are those that our collator makes of a squashed page, and not those of the page, then it was squashed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image, ImageOps

from preflight_ocr.harness.facts import PixelView, Raised
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.batches import walk
from preflight_ocr.probes.workbench.tracing import attempt

SURE = 0.97  # correlation from which two batches show the same pictures, whatever mean and std were applied
CHANGES: Mapping[Literal["squashed", "mirrored", "turned"], Callable[[Image.Image], Image.Image]] = {
    "squashed": lambda page: page.resize((max(page.size),) * 2),
    "mirrored": ImageOps.mirror,
    "turned": lambda page: page.transpose(Image.Transpose.ROTATE_90),
}


def explain_by_remaking(
    parts: Assembly,
    given: Mapping[str, Any],
    reference: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    arguments: Sequence[str],
) -> tuple[PixelView, ...]:
    """One view for each row, with the change that reproduces the pixels of `given`; none where the plain pages do, or
    nothing does."""
    if not arguments or parts.reference is None or _match(given, reference, arguments):
        return ()
    for change, apply in CHANGES.items():
        with tempfile.TemporaryDirectory() as folder:
            changed = [parts.change_page(row, Path(folder) / f"{index}.png", apply) for index, row in enumerate(rows)]
            remade = attempt(lambda changed=changed: parts.seeded(parts.reference, changed))  # type: ignore[misc]
        if not isinstance(remade, Raised) and _match(given, remade, arguments):
            return tuple(
                PixelView(
                    row=index,
                    path=arguments[0],
                    geometry=change,
                    source_row=index,
                    detail=f"the pixels are those of the {change} page",
                    mean=None,
                    std=None,
                )
                for index in range(len(rows))
            )
    return ()


def compare_rows(
    given: Mapping[str, Any], reference: Mapping[str, Any], arguments: Sequence[str], rows: int
) -> tuple[PixelView, ...]:
    """Whose page each row of `given` is, where its pixels can be held against ours as they are, row by row."""
    name = next(iter(arguments), None)
    mine, ours = (None, None) if name is None else (given.get(name), reference.get(name))
    if not isinstance(mine, torch.Tensor) or not isinstance(ours, torch.Tensor) or not len(mine) == len(ours) == rows:
        return ()
    views = []
    for row in range(rows):
        sources = [other for other in (row, *range(rows)) if _alike(mine[row], ours[other])]
        views.append(
            PixelView(
                row=row,
                path=f"{name}[{row}]",
                geometry="as expected" if sources else "unrecognised",
                source_row=next(iter(sources), None),
                mean=None,
                std=None,
                detail="",
            )
        )
    return tuple(views)


def _match(left: Mapping[str, Any], right: Mapping[str, Any], arguments: Sequence[str]) -> bool:
    """Whether both batches hold the same pictures in these arguments, leaf by leaf."""
    mine, theirs = (
        [leaf for name in arguments if name in batch for _, leaf in walk(name, batch[name])] for batch in (left, right)
    )
    return len(mine) == len(theirs) and all(_alike(a, b) for a, b in zip(mine, theirs, strict=True))


def _alike(left: Any, right: Any) -> bool:
    if not isinstance(left, torch.Tensor) or not isinstance(right, torch.Tensor) or left.shape != right.shape:
        return False
    pair = torch.stack([left.float().flatten(), right.float().flatten()])
    if bool((pair.std(1) < 1e-6).any()):
        return bool((pair.std(1) < 1e-6).all())
    return float(torch.corrcoef(pair)[0, 1]) > SURE
