"""Pictures as packed patches and back, in the order in which a merger takes them: block by block, each block row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from preflight_ocr.harness.families.family import FamilyError, Packing
from preflight_ocr.harness.families.pixels import normalise

if TYPE_CHECKING:
    import torch

LONGEST_ASPECT = 200  # beyond this the rounding of the short side would no longer be a small change


def choose_size(width: int, height: int, *, step: int, fewest: int, most: int) -> tuple[int, int]:
    """The size in pixels, both sides multiples of `step`, closest to the image's with `fewest` to `most` pixels in all."""
    if max(width, height) > LONGEST_ASPECT * min(width, height):
        raise FamilyError(
            f"an image of {width} x {height} pixels is more than {LONGEST_ASPECT} times as long as it is wide, which the "
            f"model's own preparation refuses; cut it into parts or drop its row"
        )
    across, down = (max(step, round(side / step) * step) for side in (width, height))
    if across * down > most:
        shrink = math.sqrt(width * height / most)
        across, down = (max(step, math.floor(side / shrink / step) * step) for side in (width, height))
    elif across * down < fewest:
        grow = math.sqrt(fewest / (width * height))
        across, down = (math.ceil(side * grow / step) * step for side in (width, height))
    return across, down


def pack(picture: torch.Tensor, packing: Packing) -> torch.Tensor:
    """[3, H, W] -> [H * W / patch**2, 3 * temporal * patch**2], H and W multiples of patch * merge. A still is repeated."""
    p, m, t = packing.patch, packing.merge, packing.temporal
    down, across = picture.shape[1] // (p * m), picture.shape[2] // (p * m)
    cut = picture.reshape(3, down, m, p, across, m, p).permute(1, 4, 2, 5, 0, 3, 6)
    return cut.unsqueeze(5).expand(*cut.shape[:5], t, p, p).reshape(down * across * m * m, 3 * t * p * p)


def pack_normalised(
    planes: torch.Tensor, packed: torch.Tensor, packing: Packing, *, mean: Sequence[float], std: Sequence[float]
) -> None:
    """`pack` of normalised planes, uint8 [1 or 3, H, W], into `packed`, a row of blocks at a time."""
    import torch

    p, m, t = packing.patch, packing.merge, packing.temporal
    down, across = planes.shape[1] // (p * m), planes.shape[2] // (p * m)
    band = torch.empty(3, p * m, planes.shape[2])
    # [row of blocks, channel, copy, row in the block, row in the patch, column of blocks, column in each]
    blocks = packed.view(down, across, m, m, 3, t, p, p).permute(0, 4, 5, 2, 6, 1, 3, 7)
    for number, row in enumerate(blocks):
        normalise(planes[:, number * p * m : (number + 1) * p * m], [*band], mean, std)
        row.copy_(band.view(3, 1, m, p, across, m, p))


def unpack(patches: torch.Tensor, grid: tuple[int, int], packing: Packing) -> torch.Tensor:
    """The inverse for one picture of `grid` = (patches down, patches across): [down * across, ...] -> [3, H, W]."""
    p, m, t = packing.patch, packing.merge, packing.temporal
    down, across = grid[0] // m, grid[1] // m
    blocks = patches.reshape(down, across, m, m, 3, t, p, p)[:, :, :, :, :, 0]
    return blocks.permute(4, 0, 2, 5, 1, 3, 6).reshape(3, down * m * p, across * m * p)
