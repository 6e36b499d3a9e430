"""DeepSeek-OCR as served with remote code: tiles and a padded global view, placed by an explicit mask.

The sizes of the global view and of a tile stand in no JSON file of the model; they are the defaults of its own
inference function, as are the limits on the number of tiles. Everything else is read from the model directory first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from preflight_ocr.harness.families.family import (
    Deviation,
    Family,
    FamilyError,
    Mean,
    Opening,
    Prepared,
    Whole,
    read_numbers,
)
from preflight_ocr.harness.families.pixels import Resampling, find_grey, normalise, pad, resize
from preflight_ocr.harness.families.preparation import OwnIntake, split_prompt

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from preflight_ocr.harness.config.schema import Preprocessing

_BASE_SIZE, _TILE_SIZE, _TILES = 1024, 640, (2, 9)
_ROLES = {"images": "pixels", "images_seq_mask": "placement_mask", "images_spatial_crop": "tiling"}
_PROMPT = "<image>\nFree OCR."


class _Processor(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of processor_config.json."""

    patch_size: Whole = 16
    downsample_ratio: Whole = 4
    image_mean: Mean | None = None
    image_std: Deviation | None = None
    image_token: str = "<image>"


class Geometry(msgspec.Struct, frozen=True, kw_only=True):
    """How a page becomes pixels and placeholders. Sizes are in pixels."""

    base_size: int
    tile_size: int
    tiling: bool
    tiles: tuple[int, int]
    """Fewest and most tiles of a tiled image."""
    patch_size: int
    downsample: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    image_token: str
    resampling: Resampling

    @property
    def stride(self) -> int:
        """Pixels along one side of the square that one image token stands for."""
        return self.patch_size * self.downsample


class Views(msgspec.Struct, frozen=True, kw_only=True):
    """The tensors of one page: `tiles` (n = across * down, or None without tiling) and `page`, the global view (n = 1).

    Both are float [n, 3, size, size] in the dtype asked for; `is_blank` is true for a row without an image.
    """

    tiling: tuple[int, int]
    tiles: Any
    page: Any
    is_blank: bool = False


def recognise(parameter_names: frozenset[str], config_json: Mapping[str, Any]) -> bool:
    return parameter_names.issuperset(_ROLES)


def read_geometry(directory: Path, preprocessing: Preprocessing) -> Geometry:
    """The configuration wins over the model's files, and these over the defaults of its inference function."""
    path = directory / "processor_config.json"
    processor = read_numbers(path, _read_json(path), _Processor)
    tiling = preprocessing.crop_mode if preprocessing.crop_mode is not None else True
    tile_size = preprocessing.image_size or _TILE_SIZE
    # Without tiling the model's inference function knows one size only and takes it from image_size.
    fallback = _BASE_SIZE if tiling else preprocessing.image_size or _BASE_SIZE
    plain = preprocessing.normalize is False
    geometry = Geometry(
        base_size=preprocessing.base_size or fallback,
        tile_size=tile_size,
        tiling=tiling,
        tiles=_TILES,
        patch_size=processor.patch_size,
        downsample=processor.downsample_ratio,
        mean=(0.0,) * 3 if plain else preprocessing.image_mean or processor.image_mean or (0.5,) * 3,
        std=(1.0,) * 3 if plain else preprocessing.image_std or processor.image_std or (0.5,) * 3,
        image_token=processor.image_token,
        resampling=preprocessing.resampling,
    )
    for key, size in (("base_size", geometry.base_size), ("image_size", tile_size if tiling else geometry.base_size)):
        if size <= 0 or size % geometry.stride:
            near = max(1, round(size / geometry.stride)) * geometry.stride
            message = f"`data.preprocessing.{key}` is {size}, expected a multiple of {geometry.stride}; write {near}"
            raise FamilyError(message)
    return geometry


def choose_tiling(width: int, height: int, geometry: Geometry) -> tuple[int, int]:
    """Tiles (across, down) whose aspect ratio is closest to the image's; (1, 1) when the image fits one tile."""
    if not geometry.tiling or max(width, height) <= geometry.tile_size:
        return 1, 1
    fewest, most = geometry.tiles
    choices = [(w, h) for w in range(1, most + 1) for h in range(1, most + 1) if fewest <= w * h <= most]
    best, best_distance = (1, 1), float("inf")
    for across, down in sorted(choices, key=lambda choice: choice[0] * choice[1]):
        distance = abs(width / height - across / down)
        # Of two equally good shapes the larger wins only when the image has the pixels to fill it.
        fills = width * height > 0.5 * geometry.tile_size**2 * across * down
        if distance < best_distance or (distance == best_distance and fills):
            best, best_distance = (across, down), distance
    return best


def count_tokens(tiling: tuple[int, int], geometry: Geometry) -> int:
    """Placeholders for one image: every row of features ends with a newline token, the page ends with a separator."""
    page, tile = geometry.base_size // geometry.stride, geometry.tile_size // geometry.stride
    across, down = tiling
    tiles = (tile * across + 1) * (tile * down) if across * down > 1 else 0
    return (page + 1) * page + 1 + tiles


def cut(image: Image.Image, *, geometry: Geometry) -> dict[str, torch.Tensor]:
    """The bytes of one page (mode L or RGB): `page`, the global view, and `tiles`, all tiles still in one picture.

    Both are uint8 [1 or 3, H, W]; `tiles` is missing without tiling.
    """
    image = find_grey(image)
    across, down = choose_tiling(*image.size, geometry)
    side = geometry.base_size
    scale = side / max(image.size)
    # A line never shrinks to nothing.
    width, height = (max(1, round(length * scale)) for length in image.size)
    sizes = {"page": (width, height)}
    if across * down > 1:
        sizes["tiles"] = geometry.tile_size * across, geometry.tile_size * down
    views = dict(zip(sizes, resize(image, [*sizes.values()], geometry.resampling), strict=True))
    # The colour that normalises to about zero.
    red, green, blue = (int(channel * 255) for channel in geometry.mean)
    return {**views, "page": pad(views["page"], side, (red, green, blue))}


def draw(views: Mapping[str, torch.Tensor] | None, *, geometry: Geometry, dtype: torch.dtype) -> tuple[int, Views]:
    """Placeholders, tiles and global view of what `cut` made; for a row without an image, a zero page and no placeholder."""
    import torch

    if views is None:
        page = torch.zeros(1, 3, geometry.base_size, geometry.base_size, dtype=dtype)
        return 0, Views(tiling=(1, 1), tiles=None, page=page, is_blank=True)
    page = _normalise(views["page"], geometry.base_size, geometry, dtype)
    if "tiles" not in views:
        return count_tokens((1, 1), geometry), Views(tiling=(1, 1), tiles=None, page=page)
    down, across = (length // geometry.tile_size for length in views["tiles"].shape[1:])
    tiles = _normalise(views["tiles"], geometry.tile_size, geometry, dtype)
    return count_tokens((across, down), geometry), Views(tiling=(across, down), tiles=tiles, page=page)


def join(prepared: Sequence[Prepared], placement: torch.Tensor) -> dict[str, Any]:
    """forward's image arguments.

    The model looks at the first row's global view alone to decide whether the batch has images. A first row without an
    image therefore carries a plain page, of which nothing is placed, as soon as another row has an image.
    """
    import torch

    pages: list[Views] = [one.image for one in prepared]
    some_image = not all(page.is_blank for page in pages)
    pairs = []
    for row, one in enumerate(pages):
        page = torch.ones_like(one.page) if some_image and row == 0 and one.is_blank else one.page
        pairs.append((torch.zeros_like(page) if one.tiles is None else one.tiles, page))
    tiling = torch.tensor([one.tiling for one in pages], dtype=torch.long)
    return {"images": pairs, "images_seq_mask": placement, "images_spatial_crop": tiling}


def read_sizes(batch: Mapping[str, Any]) -> dict[str, Any]:
    """What the author of this batch chose, as the keys of the configuration; empty for a batch without sound pairs."""
    import torch

    pairs, tiling = batch.get("images"), batch.get("images_spatial_crop")
    rows = tiling.tolist() if isinstance(tiling, torch.Tensor) else tiling
    if not isinstance(pairs, list | tuple) or not isinstance(rows, list | tuple) or len(rows) != len(pairs):
        return {}
    sizes: dict[str, Any] = {"crop_mode": False}
    for pair, counts in zip(pairs, rows, strict=True):
        is_pair = isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(v, torch.Tensor) for v in pair)
        if not is_pair or any(view.dim() != 4 or view.shape[2] != view.shape[3] for view in pair):
            return {}
        if not isinstance(counts, list | tuple) or len(counts) != 2 or len(pair[0]) != counts[0] * counts[1]:
            return {}
        sizes["base_size"] = pair[1].shape[-1]
        if len(pair[0]) > 1:
            sizes |= {"crop_mode": True, "image_size": pair[0].shape[-1]}
    return sizes


def open_intake(opening: Opening) -> DeepseekIntake:
    return DeepseekIntake(opening)


class DeepseekIntake(OwnIntake):
    """Keeps its geometry where it can be looked at."""

    def __init__(self, opening: Opening) -> None:
        self.geometry = geometry = read_geometry(opening.directory, opening.preprocessing)
        super().__init__(
            tokenizer=opening.tokenizer,
            image_token=geometry.image_token,
            prompt=split_prompt(_PROMPT if opening.prompt is None else opening.prompt, geometry.image_token),
            mean=geometry.mean,
            std=geometry.std,
            cut=partial(cut, geometry=geometry),
            draw=partial(draw, geometry=geometry, dtype=opening.image_dtype),
            join=join,
            recipe=geometry,
        )


def _normalise(planes: torch.Tensor, size: int, geometry: Geometry, dtype: torch.dtype) -> torch.Tensor:
    """Planes -> [n, 3, size, size] in `dtype`, row by row; each square is converted where it lies."""
    import torch

    down, across = (length // size for length in planes.shape[1:])
    squares = torch.empty(down * across, 3, size, size, dtype=dtype)
    for number, square in enumerate(squares):
        top, left = (index * size for index in divmod(number, across))
        window = planes[:, top : top + size, left : left + size]
        normalise(window, [*square], geometry.mean, geometry.std)
    return squares


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FamilyError(f"{path} is not JSON: {error}; fetch the file again from the model's repository") from None
    return content if isinstance(content, dict) else {}


FAMILY = Family(
    name="deepseek_ocr",
    shown="DeepSeek-OCR",
    recognises=recognise,
    roles=_ROLES,  # type: ignore[arg-type]
    auto_class="AutoModel",
    task_type="CAUSAL_LM",
    open_intake=open_intake,
    read_sizes=read_sizes,
)
