"""What a row looks like: its page beside every view of it in the batch, turned back into colours, and its tokens' texts.

Nothing is judged and no fact is made here. Views are found as the pixel probe finds them, and turned back with what the
model's own files declare, not with what was really applied: a batch that was normalised otherwise has the wrong colours
here, as it has for the model.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from PIL import Image

from preflight_ocr.harness.facts import Raised, Unknown
from preflight_ocr.harness.facts.illustrations import Illustrations, Picture, RowIllustration
from preflight_ocr.probes.batch.collator import count_shares, look_at_collator, look_at_reference
from preflight_ocr.probes.batch.pixels import find_views, shows_whole, spread
from preflight_ocr.probes.batch.processor import record_image_calls
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.batches import count_rows, describe_kind, walk
from preflight_ocr.probes.workbench.brought import open_parts, tell_brought
from preflight_ocr.probes.workbench.tracing import attempt

WHOLE_SIDE = 320  # pixels of the longest side of an original or of a view of the whole page
TILE_SIDE = 200
MOST_VIEWS = 12  # of a row
MOST_BYTES = 60_000  # of one PNG
_SLACK = 0.01  # beyond 0..1 that rounding in half precision and resampling may give

Normalisation = tuple[Sequence[float], Sequence[float]]


def observe(config_path: str, trust: bool, folder: str) -> dict[str, object]:
    """Run in a child: what the collator's `observe` gives, and `illustrations` beside it, or an Unknown."""
    return observe_parts(open_parts(config_path, trust=trust, folder=Path(folder)))


def observe_parts(parts: Assembly) -> dict[str, object]:
    """The same of parts that are there."""
    with record_image_calls() as calls:
        facts = look_at_collator(parts)
    shown: Any = attempt(lambda: show_rows(parts))
    if isinstance(shown, Raised):
        shown = Unknown(reason=f"no pictures could be made: {shown.type}: {shown.message}")
    return {
        "collator": msgspec.to_builtins(facts),
        "image_calls": msgspec.to_builtins(tuple(calls)),
        "illustrations": msgspec.to_builtins(shown),
        "brought": tell_brought(parts),
    }


def show_rows(parts: Assembly) -> Illustrations:
    """The sampled rows as the collator in use gives them. Raises what it raises."""
    given = dict(parts.seeded(parts.collate, parts.sample))
    roles = dict(parts.family.roles) if parts.family else {}
    pages = [parts.open_page(row) for row in parts.sample]
    normalisation = _find_normalisation(parts)
    tokens: Any = attempt(lambda: parts.reader.spell(given, parts.sample))
    count = max(count_rows(given), 0 if isinstance(tokens, Raised) else len(tokens))
    views, remarks = _find_all(parts, given, roles, rows=count)
    tiling = next((given.get(name) for name, role in roles.items() if role == "tiling"), None)
    rows = []
    for index in range(count):
        mine = [(path, view) for row, path, view in views if row == index]
        page = pages[index] if index < len(pages) else None
        drawn = tuple(_draw_view(path, view, page, normalisation) for path, view in mine[:MOST_VIEWS])
        rows.append(
            RowIllustration(
                original=None if page is None else _draw_page(page, parts.name_page(parts.sample[index])),
                views=drawn,
                columns=_count_columns(tiling, index, sum(not picture.is_whole for picture in drawn)),
                left_out=max(len(mine) - MOST_VIEWS, 0),
                tokens=() if isinstance(tokens, Raised) or index >= len(tokens) else tokens[index],
                remarks=tuple(
                    remarks if mine or remarks else ["This row has no picture: every view of it is all zeros."]
                ),
            )
        )
    return Illustrations(rows=tuple(rows), colours=_explain_colours(normalisation))


def _find_all(
    parts: Assembly, given: Mapping[str, Any], roles: Mapping[str, str], *, rows: int
) -> tuple[list[tuple[int, str, torch.Tensor]], list[str]]:
    """Every view (row, path, [3, H, W] as float) of the batch, and what holds pictures and cannot be drawn."""
    packing = parts.reference.intake.packing if parts.reference else None
    reference = look_at_reference(parts)[0] if parts.reference else None
    shares = count_shares(parts, reference, parts.sample, roles) if reference else {}
    batch = spread({k: _as_float(v) for k, v in given.items()}, roles=roles, packing=packing, shares=shares)
    named = [name for name, role in roles.items() if role == "pixels"]
    found, remarks = [], []
    for name in [*named, *(k for k in given if k not in roles)]:
        if name not in batch:
            continue
        # First, because three rows of flattened patches look like three channels of one picture.
        views = list(_find_flattened(name, batch[name])) or list(find_views(name, batch[name], rows=rows))
        if name in named and not all(bool(torch.isfinite(leaf).all()) for leaf in _list_floats(name, given[name])):
            remarks.append(f"`{name}` holds values that are not finite; a nan is drawn as zero.")
        elif not views and name in named and (why := _explain_undrawn(name, given[name], packing is not None)):
            remarks.append(why)
        found += views
    if not found and not named:
        remarks.append("No argument of the batch holds pictures [..., 3, H, W], so none can be drawn.")
    return found, remarks


def _as_float(value: Any) -> Any:
    """Pictures of bytes as floats, anything else as it is; infinities and nans as numbers that can be drawn."""
    if isinstance(value, torch.Tensor):
        is_drawn = value.is_floating_point() or value.dtype == torch.uint8
        return torch.nan_to_num(value.detach().float()) if is_drawn else value
    if isinstance(value, list | tuple):
        return [_as_float(item) for item in value]
    return value


def _list_floats(name: str, value: Any) -> Iterator[torch.Tensor]:
    return (leaf for _, leaf in walk(name, value) if isinstance(leaf, torch.Tensor) and leaf.is_floating_point())


def _find_flattened(name: str, value: Any) -> Iterator[tuple[int, str, torch.Tensor]]:
    """Pictures [3, H, W] of flattened patches [B, patches, 2 + 3 * side * side]: row and column from 1, then the patch's
    pixels with the channel last; a patch in row 0 is padding."""
    if not isinstance(value, torch.Tensor) or value.dim() != 3 or value.shape[2] < 5:
        return
    side = math.isqrt((value.shape[2] - 2) // 3)
    if 2 + 3 * side * side != value.shape[2]:
        return
    if not torch.equal(value[..., :2], value[..., :2].round()) or bool((value[..., :2] < 0).any()):
        return
    for index, patches in enumerate(value):
        places = patches[:, :2].long()
        real = (places > 0).all(1)
        down, across = (int(n) for n in places.max(0).values)
        if not bool(real.any()) or down * across > 4 * len(patches):
            continue
        picture = torch.zeros(3, down * side, across * side)
        for (row, column), pixels in zip(places[real].tolist(), patches[real, 2:], strict=True):
            block = pixels.view(side, side, 3).permute(2, 0, 1)
            picture[:, (row - 1) * side : row * side, (column - 1) * side : column * side] = block
        yield index, f"{name}[{index}]", picture


def _explain_undrawn(name: str, value: Any, is_packed: bool) -> str:
    """Why nothing of an argument that carries pictures is drawn; empty where all of them are zeros."""
    leaves = [leaf for _, leaf in walk(name, value) if isinstance(leaf, torch.Tensor)]
    if leaves and not any(bool(leaf.any()) for leaf in leaves):
        return ""
    if is_packed and leaves and leaves[0].dim() == 2:
        return f"`{name}` ({describe_kind(value)}) cannot be drawn: its patches do not fit the grid in the batch."
    return f"`{name}` ({describe_kind(value)}) cannot be drawn: no pictures [..., 3, H, W] are in it."


def _find_normalisation(parts: Assembly) -> Normalisation | None:
    """Mean and std that the model's files declare: as our collator reads them, else as its image processor has them."""
    if parts.reference is not None:
        intake = parts.reference.intake
        return None if intake.mean is None or intake.std is None else (intake.mean, intake.std)
    images = getattr(parts.processor, "image_processor", None)
    mean, std = getattr(images, "image_mean", None), getattr(images, "image_std", None)
    is_known = getattr(images, "do_normalize", False) and all(
        isinstance(v, list | tuple) and len(v) == 3 for v in (mean, std)
    )
    return (mean, std) if is_known else None  # type: ignore[return-value]


def _explain_colours(normalisation: Normalisation | None) -> str:
    if normalisation is None:
        return (
            "No fixed mean and std are declared for this model, so each view is stretched from its own smallest to its "
            "largest value: its colours are not those that it was made with."
        )
    mean, std = (", ".join(f"{float(number):.3g}" for number in numbers) for numbers in normalisation)
    return (
        f"De-normalised with the mean {mean} and std {std} that the model's own files declare; a view in wrong colours was "
        "normalised otherwise."
    )


def _draw_page(page: Image.Image, path: Any) -> Picture:
    png = _encode(page, WHOLE_SIDE)
    return Picture(name=Path(str(path)).name, width=page.width, height=page.height, png=png, is_whole=True)


def _draw_view(path: str, view: torch.Tensor, page: Image.Image | None, normalisation: Normalisation | None) -> Picture:
    """One view [3, H, W] in the colours that the model's files say it has."""
    is_whole = page is not None and shows_whole(view, page)
    if normalisation is None:
        low, high = view.min(), view.max()
        colours = (view - low) / (high - low).clamp(min=1e-6)
    else:
        mean, std = (torch.tensor([float(v) for v in numbers])[:, None, None] for numbers in normalisation)
        colours = view * std + mean
    clipped = float(((colours < -_SLACK) | (colours > 1 + _SLACK)).float().mean())
    pixels = (colours.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
    image = Image.fromarray(pixels.numpy())
    return Picture(
        name=path,
        width=view.shape[2],
        height=view.shape[1],
        png=_encode(image, WHOLE_SIDE if is_whole else TILE_SIDE),
        is_whole=is_whole,
        clipped=round(clipped, 4),
    )


def _encode(image: Image.Image, side: int) -> str:
    """A PNG of at most `side` pixels and MOST_BYTES, in base64; fewer colours, then fewer pixels, where it is too large."""
    small = image.convert("RGB")
    small.thumbnail((side, side))
    while True:
        for candidate in (small, small.quantize(64)):
            file = io.BytesIO()
            candidate.save(file, format="PNG", optimize=True)
            if file.tell() <= MOST_BYTES or max(small.size) <= 16:
                return base64.b64encode(file.getvalue()).decode("ascii")
        small = small.resize((max(small.width // 2, 1), max(small.height // 2, 1)))


def _count_columns(tiling: Any, index: int, tiles: int) -> int:
    """Tiles beside each other, where the batch says so and has as many tiles as that makes."""
    try:
        across, down = (int(number) for number in tiling[index])
    except (TypeError, ValueError, IndexError, KeyError):
        return 0
    return across if across * down == tiles and across < 10 else 0
