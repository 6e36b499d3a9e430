"""The rows and every image header. Pixels are decoded only for the few formats whose end cannot be seen otherwise."""

from __future__ import annotations

import hashlib
import os
import struct
import warnings
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from preflight_ocr.harness.facts import Dataset, RowProblem, Split, Unknown
from preflight_ocr.probes.reading.json_files import read_json

if TYPE_CHECKING:
    from PIL import Image

    from preflight_ocr.harness.config.schema import Config

Kind = Literal[
    "missing image", "unreadable image", "truncated image", "enormous image", "exif rotation", "16-bit",
    "transparency", "cmyk", "palette", "empty text", "image token in text", "no image",
]  # fmt: skip
Trouble = tuple[Kind, str]

_ORIENTATION = 0x0112
# What Pillow's many format readers raise for broken files; all of it means the same to training.
_BROKEN_IMAGE = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError,
    MemoryError, struct.error, zlib.error,
)  # fmt: skip
_NEEDS_A_PROGRAM = ("EPS", "WMF")  # decoding these would start Ghostscript, or needs Windows
_LARGEST_DECODED = 4_000_000  # pixels; larger pictures in rare formats are judged by their header alone
_TAIL = 4096


class _Row(msgspec.Struct, frozen=True):
    """One usable row: `path` is absolute, None where the row names no image."""

    split: str
    index: int
    image: str
    path: Path | None
    text: str


def look_at_dataset(config: Config, image_token: str | None) -> Dataset | Unknown:
    """Every row of train, val and test. Unknown when nothing is configured or a metadata.json cannot be read.

    `image_token` is the placeholder that must not stand in a target text; None looks for none.
    """
    folders = {"train": config.data.train_path, "val": config.data.val_path, "test": config.data.test_path}
    if not any(folders.values()):
        return Unknown(reason=f"{config.source}: no `data.train_path`; write the folder that holds metadata.json")
    splits: list[Split] = []
    problems: list[RowProblem] = []
    rows: list[_Row] = []
    for name, folder in folders.items():
        if folder is None:
            continue
        documents = read_rows(folder)
        if isinstance(documents, Unknown):
            return Unknown(reason=f"data.{name}_path: {documents.reason}")
        columns = dict.fromkeys(str(key) for row in documents if isinstance(row, dict) for key in row)
        path = str(folder / "metadata.json")
        splits.append(Split(name=name, path=path, rows=len(documents), columns=tuple(columns)))
        for index, document in enumerate(documents):
            row, found = _read_row(name, index, document, folder, image_token)
            problems += found
            rows.append(row)
    headers = _HeaderReader()
    problems += [
        RowProblem(split=row.split, row=row.index, image=row.image, kind=kind, detail=detail)
        for row in rows
        if row.path is not None
        for kind, detail in headers.look(row.path)
    ]
    order = {split.name: place for place, split in enumerate(splits)}
    return Dataset(
        splits=tuple(splits),
        problems=tuple(sorted(problems, key=lambda problem: (order[problem.split], problem.row))),
        shared_rows=tuple(_find_shared_rows(rows)),
        text_is_ascii=all(row.text.isascii() for row in rows),
    )


def read_rows(folder: Path) -> list[Any] | Unknown:
    """The list in `folder`/metadata.json, its entries unchecked; Unknown with the line where it is broken."""
    path = folder / "metadata.json"
    if not path.exists():
        seen = "no such folder" if not folder.exists() else "no metadata.json in it"
        return Unknown(reason=f"{folder}: {seen}; expected {path} with [{{image_path, text}}, ...]")
    document = read_json(path)
    if isinstance(document, (list, Unknown)):
        return document
    return Unknown(reason=f"{path}: seen a JSON {type(document).__name__}, expected a list of {{image_path, text}}")


def _read_row(
    split: str, index: int, document: Any, folder: Path, image_token: str | None
) -> tuple[_Row, list[RowProblem]]:
    image = document.get("image_path") if isinstance(document, dict) else None
    text = document.get("text") if isinstance(document, dict) else None
    shown = image if isinstance(image, str) else ""
    usable = bool(shown.strip()) and "\0" not in shown
    found: list[Trouble] = []
    if not isinstance(document, dict):
        found.append(("no image", f"the row is a {type(document).__name__}, expected {{image_path, text}}"))
    elif not usable:
        found.append(("no image", f"image_path is {image!r}, expected the path of an image"))
    if isinstance(document, dict) and (not isinstance(text, str) or not text.strip()):
        found.append(("empty text", f"text is {text!r}, expected what stands on the page"[:200]))
    if image_token and isinstance(text, str) and image_token in text:
        found.append(("image token in text", f"{text.count(image_token)} times {image_token}"))
    row = _Row(split, index, shown, folder / shown if usable else None, text if isinstance(text, str) else "")
    problems = [RowProblem(split=split, row=index, image=shown, kind=kind, detail=detail) for kind, detail in found]
    return row, problems


class _HeaderReader:
    """Looks at each file once, however many rows name it."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[Trouble, ...]] = {}

    def look(self, path: Path) -> tuple[Trouble, ...]:
        if path not in self._seen:
            self._seen[path] = tuple(_look_at_image(path))
        return self._seen[path]


def _look_at_image(path: Path) -> Iterator[Trouble]:
    from PIL import Image, UnidentifiedImageError

    try:
        if not path.is_file():
            is_there = path.exists()
            yield ("unreadable image", "not a regular file") if is_there else ("missing image", str(path))
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is judged below, for every size alike
            with Image.open(path) as image:
                yield from _judge_header(image)
                yield from _judge_ending(path, image)
    except Image.DecompressionBombError as error:
        yield "enormous image", str(error)
    except UnidentifiedImageError:
        size = path.stat().st_size
        yield "unreadable image", "the file is empty" if not size else f"{size:,} bytes that are no image Pillow knows"
    except _BROKEN_IMAGE as error:
        yield "unreadable image", f"{type(error).__name__}: {error}"


def _judge_header(image: Image.Image) -> Iterator[Trouble]:
    from PIL import Image as pillow

    width, height = image.size
    limit = pillow.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        yield "enormous image", f"{width} x {height} pixels, Pillow warns above {limit:,}"
    # Pillow turns TIFF itself; elsewhere the tag is only looked up where there is one, as PNG would be decoded for it.
    if image.format != "TIFF" and "exif" in image.info:
        turned = image.getexif().get(_ORIENTATION, 1)
        if turned in range(2, 9):
            yield "exif rotation", f"EXIF orientation {turned}"
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        yield "16-bit", f"mode {mode}"
    elif mode == "CMYK":
        yield "cmyk", "mode CMYK"
    elif mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        yield "transparency", f"mode {mode}"
    elif mode == "P":
        yield "palette", "mode P"


def _judge_ending(path: Path, image: Image.Image) -> Iterator[Trouble]:
    """Whether the file has its end. Pixels are decoded only for rare formats and small pictures."""
    if image.format in ("JPEG", "MPO"):
        if not _has_end(path, b"\xff\xd9", after=_find_scan):
            yield "truncated image", "the JPEG has no end marker"
    elif image.format == "PNG":
        if not _has_end(path, b"IEND", after=lambda data: 8):
            yield "truncated image", "the PNG has no IEND chunk"
        else:
            image.verify()  # checks every chunk's sum and decodes nothing
    elif image.format == "WEBP":
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8)[4:], "little") + 8
        if size > path.stat().st_size:
            yield "truncated image", f"{path.stat().st_size:,} bytes, the header says {size:,}"
    elif image.format not in _NEEDS_A_PROGRAM and image.width * image.height <= _LARGEST_DECODED:
        try:
            image.load()
        except OSError as error:
            yield "truncated image", str(error)


def _has_end(path: Path, marker: bytes, *, after: Any) -> bool:
    """Look for a marker in the last bytes, where it nearly always is, then behind the picture's start."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(-min(_TAIL, file.tell()), os.SEEK_END)
        tail = file.read()
    if marker in tail[-16:]:
        return True
    data = path.read_bytes()
    return data.find(marker, after(data)) >= 0


def _find_scan(data: bytes) -> int:
    """Where a JPEG's first scan begins: its thumbnail, which has an end marker of its own, stands before."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xDA:
            return place
        place += 2 + length if marker != 0xFF else 1
    return len(data)


def _find_shared_rows(rows: list[_Row]) -> Iterator[str]:
    """Pictures of train that stand in val or test too: the same bytes, or the same path with the same text.

    Only files that have a partner of equal size in another split are read.
    """
    sizes: defaultdict[int, set[bool]] = defaultdict(set)
    measured: dict[int, int] = {}
    for place, row in enumerate(rows):
        try:
            measured[place] = row.path.stat().st_size if row.path is not None else -1
        except (OSError, ValueError):
            measured[place] = -1
        sizes[measured[place]].add(row.split == "train")
    digests: dict[Path, str] = {}
    trained: dict[str, _Row] = {}
    for training in (True, False):
        for place, row in enumerate(rows):
            if (row.split == "train") is not training or row.path is None:
                continue
            keys = [f"{os.path.normpath(row.path)}\0{row.text}"]
            if measured[place] > 0 and len(sizes[measured[place]]) == 2:
                keys += filter(None, [_digest(row.path, digests)])
            if training:
                for key in keys:
                    trained.setdefault(key, row)
            elif twin := next((trained[key] for key in keys if key in trained), None):
                yield f"train row {twin.index} ({twin.image}) = {row.split} row {row.index} ({row.image})"


def _digest(path: Path, known: dict[Path, str]) -> str:
    if path not in known:
        try:
            known[path] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        except OSError:
            known[path] = ""
    return known[path]
