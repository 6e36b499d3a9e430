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

from harness.families.family import Family, FamilyError, Opening, Prepared
from harness.families.preparation import OwnIntake, split_prompt

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from harness.config import Preprocessing

_BASE_SIZE, _TILE_SIZE, _TILES = 1024, 640, (2, 9)
_ROLES = {"images": "pixels", "images_seq_mask": "placement_mask", "images_spatial_crop": "tiling"}
_PROMPT = "<image>\nFree OCR."


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
    processor = _read_json(directory / "processor_config.json")
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
        patch_size=processor.get("patch_size", 16),
        downsample=processor.get("downsample_ratio", 4),
        mean=(0.0,) * 3 if plain else preprocessing.image_mean or tuple(processor.get("image_mean", (0.5,) * 3)),
        std=(1.0,) * 3 if plain else preprocessing.image_std or tuple(processor.get("image_std", (0.5,) * 3)),
        image_token=processor.get("image_token", "<image>"),
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


def draw(image: Image.Image | None, *, geometry: Geometry, dtype: torch.dtype) -> tuple[int, Views]:
    """Placeholders, tiles and global view of one RGB image; for a row without an image, a zero page and no placeholder."""
    import torch

    if image is None:
        page = torch.zeros(1, 3, geometry.base_size, geometry.base_size, dtype=dtype)
        return 0, Views(tiling=(1, 1), tiles=None, page=page, is_blank=True)
    across, down = tiling = choose_tiling(*image.size, geometry)
    tiles = None
    if across * down > 1:
        resized = image.resize((geometry.tile_size * across, geometry.tile_size * down))
        tiles = _normalise(resized, tiling, geometry, dtype)
    page = _normalise(_pad(image, geometry), (1, 1), geometry, dtype)
    return count_tokens(tiling, geometry), Views(tiling=tiling, tiles=tiles, page=page)


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
            draw=partial(draw, geometry=geometry, dtype=opening.image_dtype),
            join=join,
        )


def _pad(image: Image.Image, geometry: Geometry) -> Image.Image:
    """Fit into the square and centre on the colour that normalises to about zero; a line never shrinks to nothing."""
    from PIL import Image as Images

    side = geometry.base_size
    scale = side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    colour = tuple(int(channel * 255) for channel in geometry.mean)
    square = Images.new("RGB", (side, side), colour)
    square.paste(image.resize((width, height)), (round((side - width) / 2), round((side - height) / 2)))
    return square


def _normalise(image: Image.Image, tiling: tuple[int, int], geometry: Geometry, dtype: torch.dtype) -> torch.Tensor:
    """RGB -> float [across * down, 3, size, size], row by row. The pixels are cut as bytes and converted once."""
    import numpy
    import torch

    across, down = tiling
    width, height = image.width // across, image.height // down
    pixels = torch.from_numpy(numpy.array(image)).view(down, height, across, width, 3)
    cut = pixels.permute(0, 2, 4, 1, 3).reshape(across * down, 3, height, width)
    mean = torch.tensor(geometry.mean).view(3, 1, 1)
    std = torch.tensor(geometry.std).view(3, 1, 1)
    return cut.to(torch.float32).div_(255).sub_(mean).div_(std).to(dtype)


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
)
