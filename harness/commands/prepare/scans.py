"""A folder of scans: which file says what a picture holds.

`page.png` with `page.txt` or `page.gt.txt`; a PAGE or ALTO file, which chooses its picture itself; `book.pdf` with the texts
of its pages in `book.txt` (form feeds between them) or `book.json` (a list).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from preflight_ocr.harness.commands.prepare.reasons import Rejection
from preflight_ocr.harness.commands.prepare.texts import read_text_file
from preflight_ocr.harness.commands.prepare.units import LayoutUnit, LostUnit, PairUnit, PdfUnit, Unit
from preflight_ocr.harness.config.packages import PackageAbsent
from preflight_ocr.harness.foreign.files import is_file
from preflight_ocr.harness.foreign.json_text import BrokenJson, read_json
from preflight_ocr.harness.foreign.text import clean_line
from preflight_ocr.harness.training.images import ImageError
from preflight_ocr.harness.training.pages import list_pages

TEXTS = (".gt.txt", ".txt")
"""Endings of a file with the text of the picture of the same name."""

_LAYOUT_FOLDERS = ("page", "alto")  # where programs put layout files, below the pictures
_PDF_PAGES = 8  # in a unit
_MOST_TEXTS = 100_000


class Names(NamedTuple):
    """What lies in a folder, by name: files, folders, and links to folders, which are not followed."""

    files: list[str]
    folders: list[str]
    links: list[str]


def list_names(folder: Path) -> Names:
    """Hidden ones are left out."""
    names = Names([], [], [])
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                is_inner = entry.is_dir()
                kind = 0 if not is_inner else 2 if entry.is_symlink() else 1
                names[kind].append(entry.name)
    for kinds in names:
        kinds.sort()
    return names


def list_folders(folder: Path) -> Iterator[Path]:
    """The folder and those below it, by name."""
    yield folder
    for name in list_names(folder).folders:
        yield from list_folders(folder / name)


def iterate_scans(path: Path) -> Iterator[Unit]:
    """Every picture, text, layout file and PDF page there; what belongs to nothing is a LostUnit. `path` may be one file."""
    endings = frozenset(Image.registered_extensions()) - {".pdf"}
    if is_file(path):
        names = list_names(path.parent)
        yield from _pair(path.parent, path.parent, names, endings, only=path.name)
        return
    for folder in list_folders(path):
        yield from _pair(path, folder, list_names(folder), endings)


def _pair(root: Path, folder: Path, names: Names, endings: frozenset[str], only: str | None = None) -> Iterator[Unit]:
    place = clean_line(folder.relative_to(root).as_posix())
    place = clean_line(root.name) or "." if place == "." else place
    files = set(names.files)
    stems = {Path(name).stem for name in names.files if Path(name).suffix.lower() in endings}
    layouts = {Path(name).stem for name in names.files if name.lower().endswith(".xml")}
    for inner in _LAYOUT_FOLDERS:
        if inner in names.folders:
            layouts |= {Path(name).stem for name in list_names(folder / inner).files if name.lower().endswith(".xml")}
    lists = {name for name in names.files if name.lower().endswith(".pdf") for name in _list_texts(Path(name).stem)}
    for name in [only] if only is not None else names.files:
        path, origin = folder / name, clean_line((folder / name).relative_to(root).as_posix())
        suffix = path.suffix.lower()
        if suffix in endings:
            yield _pair_picture(path, origin, place, files, layouts)
        elif suffix == ".xml":
            yield LayoutUnit(origin=origin, path=path, place=place)
        elif suffix == ".pdf":
            yield from _pair_pdf(path, origin, place, files)
        elif name in lists:
            continue  # read with its PDF file
        elif suffix == ".txt":
            stem = name.removesuffix(".gt.txt") if name.endswith(".gt.txt") else path.stem
            if stem not in stems:
                yield LostUnit(
                    origin=origin, reason="no_picture", said=f"{origin}: there is no picture or PDF {stem}.*"
                )
            elif stem in layouts:
                said = f"{origin}: {stem}.xml describes the same picture, and is what is read"
                yield LostUnit(origin=origin, reason="two_texts", said=said)
        else:
            said = f"{origin}: is no picture, text, PAGE-XML, ALTO or PDF file; it is not read"
            yield LostUnit(origin=origin, reason="unknown_file", said=said)
    for name in names.links if only is None else ():
        origin = clean_line((folder / name).relative_to(root).as_posix())
        said = f"{origin}: is a link to a folder, which is not followed; give that folder by itself"
        yield LostUnit(origin=origin, reason="outside", said=said)


def _pair_picture(path: Path, origin: str, place: str, files: set[str], layouts: set[str]) -> Unit:
    texts = [f"{path.stem}{ending}" for ending in TEXTS if f"{path.stem}{ending}" in files]
    if path.stem in layouts or not texts:
        expected = f"expected {path.stem}.txt, or a layout file that names it"
        said = f"{origin}: no text belongs to this picture; {expected}"
        return LostUnit(origin=origin, reason="no_text", said=said, unless_used=origin)
    if len(texts) > 1:
        said = f"{origin}: both {' and '.join(texts)} belong to this picture, expected one; move the other away"
        return LostUnit(origin=origin, reason="two_texts", said=said)
    return PairUnit(origin=origin, picture=path, text=path.with_name(texts[0]), place=place)


def _list_texts(stem: str) -> tuple[str, str]:
    return f"{stem}.txt", f"{stem}.json"


def _pair_pdf(path: Path, origin: str, place: str, files: set[str]) -> Iterator[Unit]:
    named = [name for name in _list_texts(path.stem) if name in files]
    try:
        if len(named) > 1:
            said = f"{origin}: both {' and '.join(named)} belong to this file, expected one; move the other away"
            raise Rejection("two_texts", said)
        if not named:
            said = f"{origin}: expected {path.stem}.txt with a form feed between pages, or {path.stem}.json with a list"
            raise Rejection("no_text", said)
        texts = _read_list(path.with_name(named[0]))
        count = len(list_pages(path))
    except Rejection as error:
        yield LostUnit(origin=origin, reason=error.reason, said=error.said)
        return
    except PackageAbsent:
        raise
    except ImageError as error:
        yield LostUnit(origin=origin, reason="broken_file", said=str(error))
        return
    given: list[str | None] = [*texts, *[None] * (count - len(texts))]
    for first in range(0, count, _PDF_PAGES):
        chosen = tuple(given[first : min(first + _PDF_PAGES, count)])
        yield PdfUnit(origin=origin, path=path, first=first + 1, texts=chosen, place=place)
    for number in range(count + 1, len(texts) + 1):
        said = f"{named[0]} has a text for page {number}, and {origin} has {count} pages"
        yield LostUnit(origin=f"{origin} page {number}", reason="no_picture", said=said)


def _read_list(path: Path) -> list[str | None]:
    """The texts of the pages, in their order. Raises Rejection."""
    if path.suffix.lower() == ".txt":
        text = read_text_file(path)
        pages: list[str | None] = [*text.removesuffix("\n").removesuffix("\f").split("\f")]
    else:
        try:
            content = read_json(path)
        except (BrokenJson, OSError) as error:
            raise Rejection("broken_file", str(error)) from None
        pages = [_read_entry(entry) for entry in content] if isinstance(content, list) else []
    if not pages or len(pages) > _MOST_TEXTS:
        raise Rejection("broken_file", f"{path.name}: expected a list with the text of each page")
    return pages


def _read_entry(entry: Any) -> str | None:
    """A text, or `{"text": ...}`; None for a page without one."""
    text = entry.get("text") if isinstance(entry, dict) else entry
    return text if isinstance(text, str) else None
