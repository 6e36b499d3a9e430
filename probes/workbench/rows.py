"""What a row of somebody's own form holds: its pictures, and the texts that it may ask to be learnt.

A picture is known by what it is: a Pillow image, its bytes, an array of three colours, or the name of a file that is one.
A text is certain where its place says who speaks (the assistant's turns, a completion); a column's name makes it likely,
and only the batch can tell then.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image, UnidentifiedImageError

from preflight_ocr.harness.foreign.rows import TURNS, Step, get_at, is_answer, is_turns, put_at, read_turn

# Columns that people keep a target in, the most telling first. `prompt` and `question` are never one.
TARGETS = (
    "completion", "suffix", "answer", "answers", "response", "output", "target", "ground_truth", "gt_parse", "label",
    "transcription", "transcript", "markdown", "latex", "html", "caption", "text", "content",
)  # fmt: skip
IMAGE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".jp2"})
_DEEPEST = 6


class Spot(msgspec.Struct, frozen=True):
    """Where a picture stands in a row, and in what form."""

    path: tuple[Step, ...]
    form: str  # "image" | "bytes" | "array" | "file"


class Told(msgspec.Struct, frozen=True):
    """Texts that a row may ask to be learnt. With `certain` they are all of them turns to be learnt."""

    texts: tuple[str, ...]
    certain: bool


def find_pictures(row: Any) -> tuple[Spot, ...]:
    """Every picture of a row, in the order in which it is met."""
    return tuple(_walk(row, (), 0))


def _walk(value: Any, path: tuple[Step, ...], depth: int) -> Iterator[Spot]:
    form = _tell_form(value)
    if form is not None:
        yield Spot(path, form)
    elif depth >= _DEEPEST:
        return
    elif isinstance(value, Mapping):
        if isinstance(value.get("bytes"), bytes) and "path" in value:  # `datasets` before it decodes
            yield Spot((*path, "bytes"), "bytes")
            return
        for key, item in value.items():
            yield from _walk(item, (*path, key), depth + 1)
    elif isinstance(value, list | tuple) and len(value) <= 10_000:
        for index, item in enumerate(value):
            if isinstance(item, int | float):
                return
            yield from _walk(item, (*path, index), depth + 1)


def _tell_form(value: Any) -> str | None:
    if isinstance(value, Image.Image):
        return "image"
    if isinstance(value, bytes | bytearray):
        return "bytes" if _is_picture(bytes(value)) else None
    if isinstance(value, str | Path):
        return "file" if Path(str(value)[:4096]).suffix.lower() in IMAGE_ENDINGS else None
    shape, dtype = getattr(value, "shape", None), str(getattr(value, "dtype", ""))
    if shape is not None and len(shape) == 3 and shape[-1] in (3, 4) and dtype.endswith("uint8"):
        return "array"
    return None


def _is_picture(content: bytes) -> bool:
    try:
        Image.open(io.BytesIO(content)).close()
    except (UnidentifiedImageError, OSError, ValueError):
        return False
    return True


def open_picture(row: Any, spot: Spot) -> Image.Image:
    """The picture, upright and in RGB. Raises OSError, ValueError or an error of Pillow's where it cannot be read."""
    from PIL import ImageOps

    value = get_at(row, spot.path)
    if spot.form == "image":
        opened = value
    elif spot.form == "bytes":
        opened = Image.open(io.BytesIO(bytes(value)))
    elif spot.form == "array":
        import numpy

        opened = Image.fromarray(numpy.asarray(value))
    else:
        opened = Image.open(io.BytesIO(Path(str(value)).read_bytes()))
    return ImageOps.exif_transpose(opened).convert("RGB")


def replace_picture(row: Any, spot: Spot, picture: Image.Image, path: Path) -> Any:
    """The row with another picture in the same form; one that names a file is written to `path`."""
    if spot.form == "image":
        return put_at(row, spot.path, picture)
    if spot.form == "array":
        import numpy

        before = get_at(row, spot.path)
        pixels = numpy.asarray(picture if before.shape[-1] == 3 else picture.convert("RGBA"))
        return put_at(row, spot.path, pixels)
    if spot.form == "bytes":
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return put_at(row, spot.path, buffer.getvalue())
    picture.save(path)
    before = get_at(row, spot.path)
    return put_at(row, spot.path, path if isinstance(before, Path) else str(path))


def tell_texts(row: Any) -> Told:
    """The assistant's turns where there are any; else the texts of the columns that people keep a target in."""
    if not isinstance(row, Mapping):
        return Told((), certain=False)
    for name in (*TURNS, "completion"):
        turns = row.get(name)
        if is_turns(turns):
            said = tuple(text for turn in turns if is_answer(turn) and (text := read_turn(turn)).strip())
            if said:
                return Told(said, certain=True)
    if isinstance(row.get("completion"), str) and "prompt" in row:
        return Told((row["completion"],), certain=True)
    found = [row[name] for name in TARGETS if isinstance(row.get(name), str) and row[name].strip()]
    for name in TARGETS:
        if isinstance(row.get(name), list | tuple):
            found += [item for item in row[name] if isinstance(item, str) and item.strip()]
    return Told(tuple(dict.fromkeys(found)), certain=False)


def has_silent_answer(row: Any) -> bool:
    """Whether a row has turns of the assistant, and nothing in any of them."""
    for name in (*TURNS, "completion"):
        turns = row.get(name) if isinstance(row, Mapping) else None
        if is_turns(turns):
            said = [read_turn(turn) for turn in turns if is_answer(turn)]
            if said:
                return not any(text.strip() for text in said)
    return False
