"""The grid that says how patches lie in pictures, held against the patches it comes with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from preflight_ocr.harness.facts import Grid, Unknown
from preflight_ocr.harness.families import Packing

SURE = 0.97  # correlation from which two sets of patches show the same pictures


def look_at_grid(
    given: Mapping[str, Any], reference: Mapping[str, Any], roles: Mapping[str, str], packing: Packing | None
) -> Grid | Unknown | None:
    """The grid of a batch as numbers. None for a model without one, Unknown where nothing of the batch can be read."""
    name = next((name for name, role in roles.items() if role == "grid"), None)
    pixels = next((name for name, role in roles.items() if role == "pixels"), None)
    if name is None or pixels is None or packing is None or name not in reference:
        return None
    seen, patches = _read_rows(given.get(name)), given.get(pixels)
    if seen is None:
        return Unknown(reason=f"`{name}` is not a table of whole numbers")
    if not isinstance(patches, torch.Tensor):
        return Unknown(reason=f"`{pixels}` is no tensor")
    return Grid(
        argument=name,
        seen=seen,
        expected=_read_rows(reference[name]) or (),
        patches=len(patches),
        merge=packing.merge,
        same_patches=_show_the_same(patches, reference[pixels]),
    )


def _read_rows(value: Any) -> tuple[tuple[int, ...], ...] | None:
    """A tensor [n, k], or nested lists of whole numbers, as tuples."""
    rows = value.tolist() if isinstance(value, torch.Tensor) else value
    if not isinstance(rows, list | tuple) or not all(isinstance(row, list | tuple) for row in rows):
        return None
    plain = tuple(tuple(row) for row in rows)
    return plain if all(isinstance(number, int) for row in plain for number in row) else None


def _show_the_same(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether two tensors of patches hold the same pictures, up to another mean and std for each channel."""
    if left.shape != right.shape or left.dim() < 2:
        return False
    channels = [value.float().reshape(len(value), 3, -1).transpose(0, 1).flatten(1) for value in (left, right)]
    pairs = zip(*channels, strict=True)
    return all(float(torch.corrcoef(torch.stack(pair))[0, 1]) > SURE for pair in pairs)
