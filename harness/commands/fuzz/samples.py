"""A generated sample as plain data, so that the same sample can be painted again, shrunk, and kept as a file.

A kept sample is a folder: `metadata.json` and its pages, which any data loader of the usual layout reads, and
`expectation.json`, which says what was promised and what was seen instead.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from preflight_ocr.harness import atomic
from preflight_ocr.harness.config.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

RUNNING = "running.json"  # the sample being tried, written before each try, for whoever finds the process dead
Mode = Literal["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "F"]
TIFF_ONLY = ("PA", "CMYK", "F")  # modes that a PNG cannot hold
ORIENTATION = 0x0112  # the EXIF tag that says how a page must be turned to stand upright


class SampleError(UserError):
    """A folder does not hold a sample."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page before EXIF turns it: sides in pixels, `orientation` 1 (upright) to 8; a blank one has no writing."""

    width: int
    height: int
    mode: Mode = "RGB"
    orientation: int = 1
    blank: bool = False

    @property
    def aspect(self) -> float:
        """The long side over the short one."""
        return max(self.width, self.height) / min(self.width, self.height)

    @property
    def file_name(self) -> str:
        """The same page, the same name."""
        marks = ("-blank" if self.blank else "") + (f"-turned-{self.orientation}" if self.orientation > 1 else "")
        ending = "tif" if self.mode in TIFF_ONLY else "png"
        return f"{self.width}x{self.height}-{self.mode.replace(';', '')}{marks}.{ending}"


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """One row: a text and no, one or several pages."""

    text: str
    pages: tuple[Page, ...] = ()


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one batch."""

    sheets: tuple[Sheet, ...]

    @property
    def size(self) -> tuple[int, int, int]:
        """What shrinking makes smaller: rows, characters, pixels."""
        pages = [page for sheet in self.sheets for page in sheet.pages]
        characters = sum(len(sheet.text) for sheet in self.sheets)
        return len(self.sheets), characters, sum(page.width * page.height for page in pages)

    def describe(self) -> str:
        """Row by row, long texts cut."""
        return "; ".join(
            f"{' and '.join(page.file_name for page in sheet.pages) or 'no page'} with "
            f"{sheet.text[:60]!r}{f' ... of {len(sheet.text)} characters' if len(sheet.text) > 60 else ''}"
            for sheet in self.sheets
        )


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a sample was kept: the promise it broke and what was seen. `models` it is for, () for all."""

    promise: str
    seen: str
    models: tuple[str, ...] = ()


def write_pages(sample: Sample, folder: Path) -> list[dict[str, Any]]:
    """Paint what is not in `folder` yet and return the rows with absolute paths; a list where a row has several pages."""
    rows: list[dict[str, Any]] = []
    for sheet in sample.sheets:
        paths = [str(_paint(page, folder / page.file_name)) for page in sheet.pages]
        image: dict[str, Any] = {"image_path": paths if len(paths) > 1 else paths[0]} if paths else {}
        rows.append({**image, "text": sheet.text})
    return rows


def keep(sample: Sample, expectation: Expectation, folder: Path) -> Path:
    """Write the sample as a folder that can be replayed, in place of what was there under its name."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "pages").mkdir(parents=True)
    rows = write_pages(sample, folder / "pages")
    for row in rows:
        given = row.get("image_path")
        if given is not None:
            short = [f"pages/{Path(path).name}" for path in (given if isinstance(given, list) else [given])]
            row["image_path"] = short if isinstance(given, list) else short[0]
    atomic.write_bytes(folder / "metadata.json", msgspec.json.format(msgspec.json.encode(rows)) + b"\n")
    document = {**msgspec.to_builtins(expectation), "sample": msgspec.to_builtins(sample)}
    atomic.write_bytes(folder / "expectation.json", msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    return folder


def read_kept(folder: Path) -> tuple[Expectation, list[dict[str, Any]]]:
    """A kept sample: why, and its rows with absolute paths. Raises SampleError."""
    try:
        expectation = msgspec.json.decode((folder / "expectation.json").read_bytes(), type=Expectation)
        rows = msgspec.json.decode((folder / "metadata.json").read_bytes(), type=list[dict[str, Any]])
    except (OSError, msgspec.MsgspecError) as error:
        raise SampleError(
            f"{folder}: no sample can be read from it ({error}); expected metadata.json and expectation.json, as "
            "`preflight fuzz` writes them"
        ) from None
    for row in rows:
        given = row.get("image_path")
        if given is not None:
            row["image_path"] = (
                [str(folder / path) for path in given] if isinstance(given, list) else str(folder / given)
            )
    return expectation, rows


def _paint(page: Page, path: Path) -> Path:
    """Lines of something dark on white, other on the left than on the right, so that no turn goes unseen."""
    if path.exists():
        return path
    from PIL import Image, ImageDraw

    image = Image.new("L", (page.width, page.height), 245)
    if not page.blank:
        pen, line = ImageDraw.Draw(image), max(1, page.height // 12)
        for number, top in enumerate(range(0, page.height, 2 * line)):
            right = page.width * (3 + number * 5 % 7) // 10
            pen.rectangle((0, top, max(right - 1, 0), min(top + line, page.height) - 1), fill=20 + 9 * (number % 8))
    drawn = _convert(image, page.mode)
    exif = Image.Exif()
    if page.orientation > 1:
        exif[ORIENTATION] = page.orientation
    options: dict[str, Any] = {"compression": "tiff_adobe_deflate"} if path.suffix == ".tif" else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.save(path, exif=exif, **options)
    return path


def _convert(image: Image.Image, mode: Mode) -> Image.Image:
    """Grey 0..255 in another mode; 16 bits and floating point use their own range, as scanners write them."""
    import numpy
    from PIL import Image as Images

    if mode == "I;16":
        return Images.fromarray(numpy.asarray(image).astype(numpy.uint16) * 257)
    if mode == "F":
        return Images.fromarray(numpy.asarray(image).astype(numpy.float32) / 255)
    return image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)
