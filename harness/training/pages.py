"""The pages of what a user wants read: pictures, folders of them, TIFF files of many pages, PDF files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.packages import require
from preflight_ocr.harness.foreign.files import is_folder, is_there, open_file
from preflight_ocr.harness.foreign.pictures import BROKEN_PICTURE, tell_broken
from preflight_ocr.harness.training.images import ImageError, open_image, read_content

_LARGEST_PDF = 2**30  # bytes
_MOST_PIXELS = 50_000_000  # of a rendered page: a poster at 200 dpi would not fit into memory
_POINTS = 72  # of PDF in an inch


class InputError(UserError):
    """What was given to be read is not there."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a file. `number` counts from 1."""

    path: Path
    number: int
    count: int


def list_files(inputs: Sequence[Path]) -> tuple[list[Path], int]:
    """Every file that is meant, in the order given and by name within a folder, each once; and how many were passed over.

    A folder means the pictures and PDF files in it and below it; a file that is named is taken whatever it is called.
    Raises InputError for a path that is not there.
    """
    found: dict[Path, None] = {}
    passed = 0
    suffixes = {*Image.registered_extensions(), ".pdf"}
    for path in inputs:
        if not is_there(path):
            raise InputError(f"{path}: there is no such file or folder; give pictures, PDF files or folders of them")
        if not is_folder(path):
            found[path] = None
            continue
        for inside in _walk(path):
            if inside.suffix.lower() in suffixes:
                found[inside] = None
            else:
                passed += 1
    return list(found), passed


def _walk(folder: Path) -> Iterator[Path]:
    """The files below a folder, by name; hidden ones are left out, links to folders are not followed."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent) / name for name in sorted(names) if not name.startswith("."))


def list_pages(path: Path) -> list[Page]:
    """The pages of one file, none of them decoded. Raises ImageError, and PackageAbsent for a PDF without its reader."""
    if _is_pdf(path):
        with _PdfFile(path) as pdf:
            count = len(pdf.document)
        if not count:
            raise ImageError(f"{path}: this PDF has no pages; leave it out")
    else:
        count = _count_frames(path)
    return [Page(path=path, number=number, count=count) for number in range(1, count + 1)]


def open_page(page: Page, *, dpi: int) -> Image.Image:
    """The page as an upright RGB picture; `dpi` is for PDF, whose pages have no pixels. Raises ImageError."""
    if not _is_pdf(page.path):
        return open_image(page.path, frame=page.number - 1)
    with _PdfFile(page.path) as pdf:
        try:
            return _render(pdf.document[page.number - 1], dpi)
        except (pdf.broken, *BROKEN_PICTURE) as error:
            raise ImageError(f"{page.path}: page {page.number} cannot be rendered ({error})") from None


def _render(page: Any, dpi: int) -> Image.Image:
    width, height = page.get_size()
    scale = dpi / _POINTS
    scale = min(scale, (_MOST_PIXELS / max(1.0, width * height)) ** 0.5)
    picture: Image.Image = page.render(scale=scale).to_pil()
    return picture.convert("RGB")


class _PdfFile:
    """A PDF, open for the length of a block."""

    def __init__(self, path: Path) -> None:
        require(f"reading {path.name}", ("pypdfium2",))
        import pypdfium2

        self.broken = pypdfium2.PdfiumError
        try:
            with open_file(path, limit=_LARGEST_PDF) as file:
                self.document = pypdfium2.PdfDocument(file.read())
        except pypdfium2.PdfiumError as error:
            # What PDFium says of a PDF without a page is whatever it said last.
            told = f"it has no page, is damaged or asks for a password ({error})"
            raise ImageError(f"{path}: cannot be read as a PDF: {told}; save it anew, or leave it out") from None
        except OSError as error:
            raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from None

    def __enter__(self) -> _PdfFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.document.close()


def _is_pdf(path: Path) -> bool:
    try:
        with open_file(path) as file:
            return b"%PDF-" in file.read(1024)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from None


def _count_frames(path: Path) -> int:
    """Pages of a TIFF; of what moves, the first picture is meant."""
    content = read_content(path)
    try:
        with Image.open(BytesIO(content)) as image:
            return int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1
    except (*BROKEN_PICTURE, Image.DecompressionBombError) as error:
        told = tell_broken(error, content)
        raise ImageError(f"{path}: cannot be read as an image ({told}); replace the file or leave it out") from None
