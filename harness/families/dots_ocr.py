"""dots.ocr as served with remote code: patches of the whole page in a grid, placed at its image tokens.

Its processor works with some releases of transformers only, and there only after the configuration's module was imported;
so the page is prepared here. All sizes come from the model's own files.
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
    Packing,
    Prepared,
    Whole,
    read_numbers,
)
from preflight_ocr.harness.families.patches import choose_size, pack_normalised
from preflight_ocr.harness.families.pixels import Resampling, find_grey, resize
from preflight_ocr.harness.families.preparation import OwnIntake, Prompt

if TYPE_CHECKING:
    import torch
    from PIL import Image

_INSTRUCTION = "Extract the text content from this image."
_ROLES = {"pixel_values": "pixels", "image_grid_thw": "grid"}


class _Processor(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of preprocessor_config.json, which holds every number."""

    patch_size: Whole
    temporal_patch_size: Whole
    merge_size: Whole
    min_pixels: Whole
    max_pixels: Whole
    image_mean: Mean
    image_std: Deviation


class Geometry(msgspec.Struct, frozen=True, kw_only=True):
    """How a page becomes patches. Numbers of pixels are those of the whole picture."""

    packing: Packing
    min_pixels: int
    max_pixels: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resampling: Resampling


def recognise(parameter_names: frozenset[str], config_json: Mapping[str, Any]) -> bool:
    return config_json.get("model_type") == "dots_ocr" and parameter_names.issuperset(_ROLES)


class DotsIntake(OwnIntake):
    """Keeps its geometry where it can be looked at."""

    def __init__(self, opening: Opening) -> None:
        self.geometry = geometry = read_geometry(opening)
        image_token = _read_image_token(opening)
        super().__init__(
            tokenizer=opening.tokenizer,
            image_token=image_token,
            prompt=render_prompt(opening, image_token),
            mean=geometry.mean,
            std=geometry.std,
            cut=partial(cut, geometry=geometry),
            draw=partial(draw, geometry=geometry),
            join=partial(join, geometry=geometry, dtype=opening.image_dtype),
            packing=geometry.packing,
            recipe=geometry,
        )


def read_geometry(opening: Opening) -> Geometry:
    """The configuration wins over preprocessor_config.json, which holds every number."""
    wanted, path = opening.preprocessing, opening.directory / "preprocessor_config.json"
    for key in ("base_size", "image_size", "crop_mode"):
        if getattr(wanted, key) is not None:
            raise FamilyError(
                f"`data.preprocessing.{key}` has no place in this model, which takes the whole page; "
                "write data.preprocessing.max_pixels to make pages smaller"
            )
    content = _read_json(path)
    if missing := next((name for name in _Processor.__struct_fields__ if name not in content), None):
        raise FamilyError(f"{path} has no {missing!r}; fetch the file again from the model's repository")
    read = read_numbers(path, content, _Processor)
    plain = wanted.normalize is False
    packing = Packing(patch=read.patch_size, temporal=read.temporal_patch_size, merge=read.merge_size)
    geometry = Geometry(
        packing=packing,
        min_pixels=wanted.min_pixels or read.min_pixels,
        max_pixels=wanted.max_pixels or read.max_pixels,
        mean=(0.0,) * 3 if plain else wanted.image_mean or read.image_mean,
        std=(1.0,) * 3 if plain else wanted.image_std or read.image_std,
        resampling=wanted.resampling,
    )
    smallest = (packing.patch * packing.merge) ** 2
    if not smallest <= geometry.min_pixels <= geometry.max_pixels:
        raise FamilyError(
            f"min_pixels is {geometry.min_pixels} and max_pixels {geometry.max_pixels}, expected at least {smallest} and "
            "the first not above the second; correct data.preprocessing"
        )
    return geometry


def render_prompt(opening: Opening, image_token: str) -> Prompt:
    """The template beside the processor, which is the one the model was trained with; the tokenizer's refuses images."""
    template = _read_json(opening.directory / "chat_template.json").get("chat_template")
    text = _INSTRUCTION if opening.prompt is None else opening.prompt

    def render(content: Any) -> str:
        shown: str = opening.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=template,
            tokenize=False,
            add_generation_prompt=True,
        )
        return shown

    before, found, after = render([{"type": "image"}, {"type": "text", "text": text}]).partition(image_token)
    if not found:
        raise FamilyError(
            f"chat_template.json of {opening.directory} puts no {image_token} into the prompt; fetch it again"
        )
    return Prompt(before, after, render(text))


def cut(image: Image.Image, *, geometry: Geometry) -> dict[str, torch.Tensor]:
    """The bytes of one page (mode L or RGB) at the size that patches are cut from: `page`, uint8 [1 or 3, H, W]."""
    packing = geometry.packing
    step = packing.patch * packing.merge
    size = choose_size(*image.size, step=step, fewest=geometry.min_pixels, most=geometry.max_pixels)
    (page,) = resize(find_grey(image), [size], geometry.resampling)
    return {"page": page}


def draw(views: Mapping[str, torch.Tensor] | None, *, geometry: Geometry) -> tuple[int, torch.Tensor | None]:
    """Placeholders and bytes of what `cut` made; nothing for None."""
    if views is None:
        return 0, None
    return _count_patches(views["page"], geometry) // geometry.packing.merge**2, views["page"]


def join(
    prepared: Sequence[Prepared], placement: torch.Tensor, *, geometry: Geometry, dtype: torch.dtype
) -> dict[str, Any]:
    """All patches [n, 3 * patch**2] one after the other and one (1, down, across) per image; nothing without images.

    Each page is normalised where its patches lie in the batch.
    """
    import torch

    pages = [one.image for one in prepared if one.image is not None]
    if not pages:
        return {}
    packing = geometry.packing
    counts = [_count_patches(page, geometry) for page in pages]
    patches = torch.empty(sum(counts), 3 * packing.temporal * packing.patch**2, dtype=dtype)
    for page, part in zip(pages, torch.split(patches, counts), strict=True):
        pack_normalised(page, part, packing, mean=geometry.mean, std=geometry.std)
    grids = [(1, *(length // packing.patch for length in page.shape[1:])) for page in pages]
    return {"pixel_values": patches, "image_grid_thw": torch.tensor(grids, dtype=torch.long)}


def _count_patches(page: torch.Tensor, geometry: Geometry) -> int:
    return page.shape[1] * page.shape[2] // geometry.packing.patch**2


def _read_image_token(opening: Opening) -> str:
    token_id = _read_json(opening.directory / "config.json").get("image_token_id")
    token = None if token_id is None else opening.tokenizer.convert_ids_to_tokens(token_id)
    if not isinstance(token, str):
        raise FamilyError(f"config.json gives {token_id} as image_token_id, which the tokenizer does not have")
    return token


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FamilyError(f"{path} is missing; fetch it from the model's repository") from None
    except ValueError as error:
        raise FamilyError(f"{path} is not JSON: {error}; fetch the file again from the model's repository") from None
    return content if isinstance(content, dict) else {}


FAMILY = Family(
    name="dots_ocr",
    shown="dots.ocr",
    recognises=recognise,
    roles=_ROLES,  # type: ignore[arg-type]
    auto_class="AutoModelForCausalLM",
    task_type="CAUSAL_LM",
    open_intake=DotsIntake,
)
