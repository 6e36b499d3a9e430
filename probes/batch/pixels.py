"""What was done to a page on its way into the batch: normalisation, geometry, and whose page it is.

Nothing about a family is known here. The page as the reference collator prepares it is the yardstick; a view of the user's
batch is explained as an affine change of its colours (another mean and std) of one of: the same page, the page squashed,
cropped, mirrored, turned, or the page of another row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from PIL import Image, ImageOps
from torch.nn.functional import adaptive_avg_pool2d

from preflight_ocr.harness.facts import PixelView
from preflight_ocr.harness.families import Packing
from preflight_ocr.harness.families.patches import unpack
from preflight_ocr.probes.workbench.batches import walk

SIDE = 48  # views are compared at this size: resampling filters differ in detail, not in what is where
SURE = 0.97  # share of the variance that an explanation must account for
LIKELY = 0.85  # the same for telling a whole page from one of its tiles
ROUNDING = 28  # pixels by which a side may be rounded to whole patches
BETTER = 0.02  # by how much another explanation must beat "as expected"

Geometry = Literal["as expected", "squashed", "cropped", "mirrored", "turned", "unrecognised"]


def spread(
    batch: Mapping[str, Any],
    *,
    roles: Mapping[str, str],
    packing: Packing | None,
    shares: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Any]:
    """The batch with packed patches put back together as one picture [3, H, W] per row of the grid, and with pictures that
    stand one after the other dealt out to the rows: `shares` says how many of an argument each row has.

    What does not fit its grid or its shares stays as it is.
    """
    found = dict(batch)
    grid_name = next((name for name, role in roles.items() if role == "grid"), None)
    for name in [name for name, role in roles.items() if role == "pixels"]:
        value = batch.get(name)
        if not isinstance(value, torch.Tensor):
            continue
        if packing is not None and grid_name is not None and isinstance(batch.get(grid_name), torch.Tensor):
            found[name] = _put_together(value, batch[grid_name], packing)
        elif shares and value.dim() == 4 and len(value) == sum(shares.get(name, ())):
            found[name] = list(torch.split(value, list(shares[name])))
    return found


def _put_together(value: torch.Tensor, grid: torch.Tensor, packing: Packing) -> Any:
    """[patches, 3 * temporal * patch**2] in blocks, or [patches, 3, patch, patch] in reading order."""
    if value.dim() == 4:
        value, packing = value.flatten(1), Packing(patch=packing.patch, temporal=1, merge=1)
    fits = value.dim() == 2 and grid.dim() == 2 and grid.shape[-1] == 3 and not grid.is_floating_point()
    if not fits or value.shape[1] != 3 * packing.temporal * packing.patch**2:
        return value
    counts = grid.prod(-1).tolist()
    whole = all(t == 1 and h % packing.merge == w % packing.merge == 0 for t, h, w in grid.tolist())
    if not whole or sum(counts) != len(value):
        return value
    parts = torch.split(value, counts)
    return [unpack(part, (h, w), packing) for part, (_, h, w) in zip(parts, grid.tolist(), strict=True)]


def find_views(argument: str, value: Any, *, rows: int) -> Iterator[tuple[int, str, torch.Tensor]]:
    """Every image [3, H, W] in an argument with its row and path; blank (all-zero) ones are left out.

    The row is the first index of a nested list, or of the batch dimension of a tensor.
    """
    for path, leaf in walk(argument, value):
        if not isinstance(leaf, torch.Tensor) or leaf.dim() < 3 or leaf.shape[-3] != 3 or not leaf.is_floating_point():
            continue
        flat = leaf.detach().float().reshape(-1, *leaf.shape[-3:])
        steps = path.removeprefix(argument).replace("]", " ").replace("[", " ").split()
        for index, view in enumerate(flat):
            if not bool(view.any()):
                continue
            first = int(steps[0]) if steps and steps[0].isdigit() else index * rows // max(len(flat), 1)
            yield first, path if len(flat) == 1 else f"{path}[{index}]", view


def compare_views(
    given: Mapping[str, Any],
    reference: Mapping[str, Any],
    *,
    roles: Mapping[str, str],
    pages: Sequence[Image.Image],
    mean: Sequence[float],
    std: Sequence[float],
) -> tuple[PixelView, ...]:
    """Explain each whole-page view of the user's batch. `mean` and `std` are what the reference applied, per channel."""
    arguments = [name for name, role in roles.items() if role == "pixels"]
    rows = len(pages)
    yardstick = [
        (r, v) for name in arguments if name in reference for r, _, v in find_views(name, reference[name], rows=rows)
    ]
    whole = dict(yardstick)  # the last view of a row is the largest one that shows all of the page
    for row, view in yardstick:
        if _shows(view, pages[row], mean, std):
            whole[row] = view
    found = []
    for argument in [k for k in given if k in arguments or k not in reference]:
        for row, path, view in find_views(argument, given[argument], rows=rows):
            if row >= rows:
                continue
            explained = _explain(row, path, view, yardstick, whole, pages, mean, std)
            if explained is not None:
                found.append(explained)
    return tuple(found)


def count_views(
    batch: Mapping[str, Any], *, roles: Mapping[str, str], rows: int, shows_something: bool = False
) -> tuple[int, ...]:
    """How many views that are not blank each row has; with `shows_something`, without those of one colour."""
    counts = [0] * rows
    for argument in [name for name, role in roles.items() if role == "pixels" and name in batch]:
        for row, _, view in find_views(argument, batch[argument], rows=rows):
            if row < rows and not (shows_something and bool((view == view.flatten()[0]).all())):
                counts[row] += 1
    return tuple(counts)


def _shrink(view: torch.Tensor) -> torch.Tensor:
    return adaptive_avg_pool2d(view[None], (SIDE, SIDE))[0]


def _as_tensor(page: Image.Image, size: tuple[int, int]) -> torch.Tensor:
    """The page stretched to `size`. At the size of the view it is held against, both are shrunk over the same windows:
    other windows blur differently, and blur reads as another std."""
    width, height = size
    stretched = page.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    pixels = torch.frombuffer(bytearray(stretched.tobytes()), dtype=torch.uint8).view(height, width, 3)
    return _shrink(pixels.permute(2, 0, 1) / 255)


def _size_of(view: torch.Tensor) -> tuple[int, int]:
    """Width and height of a view [3, H, W]."""
    return view.shape[2], view.shape[1]


def _keeps_ratio(view: tuple[int, int], page: tuple[int, int]) -> bool:
    """Whether a view has the page's proportions, up to the patches that a model cuts its pages into."""
    scale = max(view) / max(page)
    return abs(min(page) * scale - min(view)) <= max(ROUNDING, 0.03 * min(view))


def _fit(view: torch.Tensor, candidate: torch.Tensor) -> tuple[float, torch.Tensor, torch.Tensor]:
    """Least squares view = a * candidate + b per channel: (share of variance explained, a, b). 0 for flat images."""
    x, y = candidate.flatten(1), view.flatten(1)
    dx, dy = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    spread = (dx * dx).sum(1)
    if bool((spread < 1e-6).any()) or bool(((dy * dy).sum(1) < 1e-6).any()):
        return 0.0, torch.ones(3), torch.zeros(3)
    a = (dx * dy).sum(1) / spread
    left = ((dy - a[:, None] * dx) ** 2).sum(1) / (dy * dy).sum(1)
    share = float(1 - left.max()) if bool((a > 0).all()) else 0.0  # an inverted picture is another picture
    return share, a, y.mean(1) - a * x.mean(1)


def shows_whole(view: torch.Tensor, page: Image.Image) -> bool:
    """Whether a view [3, H, W] is all of the page, padded or stretched, and not a tile of it; in whatever colours."""
    size, small = _size_of(view), _shrink(view)
    page = page.convert("RGB")
    grounds = ((0, 0, 0), (127, 127, 127), (255, 255, 255))
    candidates = (page, *(ImageOps.pad(page, size, color=ground) for ground in grounds))
    return max(_fit(small, _as_tensor(candidate, size))[0] for candidate in candidates) > LIKELY


def _shows(view: torch.Tensor, page: Image.Image, mean: Sequence[float], std: Sequence[float]) -> bool:
    """Whether this reference view is the whole page, padded or not."""
    size = _size_of(view)
    padded = ImageOps.pad(page.convert("RGB"), size, color=(127, 127, 127))
    return _fit(_shrink(view), _as_tensor(padded, size))[0] > SURE


def _explain(
    row: int,
    path: str,
    view: torch.Tensor,
    yardstick: Sequence[tuple[int, torch.Tensor]],
    whole: Mapping[int, torch.Tensor],
    pages: Sequence[Image.Image],
    mean: Sequence[float],
    std: Sequence[float],
) -> PixelView | None:
    """The best explanation of one view, or None for a flat image, which says nothing."""
    small = _shrink(view)
    if float(small.flatten(1).std(1).max()) < 0.02:
        return None
    mean_t, std_t = torch.tensor(mean), torch.tensor(std)

    def undo(reference: torch.Tensor) -> torch.Tensor:
        return _shrink(reference) * std_t[:, None, None] + mean_t[:, None, None]

    candidates: list[tuple[Geometry, int, torch.Tensor]] = [
        ("as expected", r, undo(v)) for r, v in yardstick if r == row
    ]
    candidates += [("as expected", r, undo(v)) for r, v in yardstick if r != row]
    page = pages[row].convert("RGB")
    elongated = max(page.size) > 1.05 * min(page.size)
    size = _size_of(view)
    if elongated and _keeps_ratio(size, page.size):
        # The whole page at another size than ours: how large a page is read is its owner's choice.
        candidates.append(("as expected", row, _as_tensor(page, size)))
    elif elongated:
        candidates.append(("squashed", row, _as_tensor(page, size)))
        candidates.append(("cropped", row, _as_tensor(ImageOps.fit(page, size), size)))
    if row in whole:
        upright = undo(whole[row])
        candidates += [("mirrored", row, upright.flip(2)), ("mirrored", row, upright.flip(1))]
        candidates += [("turned", row, torch.rot90(upright, k, (1, 2))) for k in (1, 2, 3)]
    fits = [(*_fit(small, picture), kind, source) for kind, source, picture in candidates]
    expected = max((f for f in fits if f[3] == "as expected" and f[4] == row), key=lambda f: f[0], default=None)
    best = max(fits, key=lambda f: f[0])
    if expected is not None and expected[0] >= best[0] - BETTER:
        best = expected
    share, a, b, kind, source = best
    if share < SURE - (0.07 if kind in ("squashed", "cropped") else 0):
        return PixelView(
            row=row,
            path=path,
            geometry="unrecognised",
            detail=f"best explanation covers {share:.0%}",
            mean=None,
            std=None,
            source_row=None,
        )
    # view = a * x + b for pixels x in 0..1, so that x = (view - b) / a and (x - m) / s gives s = 1 / a, m = -b / a.
    return PixelView(
        row=row,
        path=path,
        geometry=kind,
        mean=tuple(round(float(v), 3) for v in -b / a),
        std=tuple(round(float(v), 3) for v in 1 / a),
        source_row=source,
        detail=f"{share:.1%} of the variance explained",
    )
