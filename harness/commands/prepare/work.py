"""One unit becomes outcomes: what a row holds is read, settled and written, or rejected with its reason."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from preflight_ocr.harness.commands.prepare.asked import Asked
from preflight_ocr.harness.commands.prepare.layouts import Layout, Line, is_other_xml, parse_layout
from preflight_ocr.harness.commands.prepare.outcomes import Kept, Outcome, Rejected, Scalar
from preflight_ocr.harness.commands.prepare.pictures import (
    Picture,
    digest_pixels,
    encode_picture,
    hash_looks,
    read_file,
    read_picture,
    require_size,
    stage,
)
from preflight_ocr.harness.commands.prepare.places import name_below, require_inside
from preflight_ocr.harness.commands.prepare.reasons import Rejection
from preflight_ocr.harness.commands.prepare.texts import read_text_file, settle_text
from preflight_ocr.harness.commands.prepare.units import LayoutUnit, LostUnit, PairUnit, PdfUnit, RowUnit, Unit
from preflight_ocr.harness.commands.prepare.writable import Writer, load_writer
from preflight_ocr.harness.foreign.files import is_file, read_bytes
from preflight_ocr.harness.foreign.pictures import BROKEN_PICTURE
from preflight_ocr.harness.foreign.rows import (
    explain_unfit,
    find_pages,
    find_prompt,
    find_target,
    is_known,
    is_turns,
    tell_unknown,
)
from preflight_ocr.harness.foreign.text import clean, clean_line
from preflight_ocr.harness.foreign.xml_text import LARGEST, BrokenXml
from preflight_ocr.harness.training.images import ImageError
from preflight_ocr.harness.training.pages import Page, open_page

ASPECT_TOLERANCE = 0.02
"""By how much the shape of a picture may differ from that of the page which its layout file describes."""

_LONGEST_SAID = 500
_MOST_COLUMNS = 50  # that are named as left out
_READ = (
    "image_path", "image", "file_name", "images", "image_paths", "img_path", "text", "ground_truth", "gt_parse", "source",
)  # fmt: skip


def work(number: int, unit: Unit, asked: Asked) -> list[Outcome]:
    """The outcomes of a unit, in order; pictures are named for `number`. Raises OSError where nothing can be written."""
    name = f"{number // 1000:05d}/{number:08d}"
    try:
        match unit:
            case LostUnit():
                return [
                    Rejected(
                        origin=unit.origin,
                        reason=unit.reason,
                        said=clean(unit.said, limit=_LONGEST_SAID),
                        unless_used=unit.unless_used,
                        ends=unit.ends,
                    )
                ]
            case RowUnit():
                return [_keep_row(unit, name, asked)]
            case PairUnit():
                return [_keep_pair(unit, name, asked)]
            case LayoutUnit():
                return list(_keep_layout(unit, name, asked))
            case PdfUnit():
                return list(_keep_pdf(unit, name, asked))
    except Rejection as error:
        return [_reject(unit.origin, error)]


def _reject(origin: str, error: Rejection, used: str = "") -> Rejected:
    return Rejected(origin=origin, reason=error.reason, said=clean(error.said, limit=_LONGEST_SAID), used=used)


def _keep(
    asked: Asked,
    *,
    origin: str,
    name: str,
    picture: Picture,
    text: str,
    source: str,
    prompt: str | None = None,
    columns: Mapping[str, Scalar] | None = None,
    left_out: tuple[str, ...] = (),
    used: str = "",
) -> Kept:
    """What all forms have in common, once there are a picture and a text."""
    settled, changed = settle_text(text)
    if (writer := _open_writer(asked)) is not None:
        writer.require_writable(settled)
    columns = dict(columns or {})
    return Kept(
        origin=origin,
        size=len(picture.content),
        width=picture.image.width,
        height=picture.image.height,
        digest=digest_pixels(picture.image),
        looks=hash_looks(picture.image),
        text=settled,
        prompt=prompt,
        source=source,
        group=_find_group(asked, {"source": source, **columns}),
        columns=columns,
        changes=(*picture.changes, *changed),
        left_out=left_out,
        picture=stage(picture, name, asked),  # last: nothing is written of what is rejected
        used=used,
    )


def _find_group(asked: Asked, columns: Mapping[str, Scalar]) -> str | None:
    if asked.group_by is None:
        return None
    value = columns.get(asked.group_by)
    if value is None or value == "":
        said = f"nothing in the column {asked.group_by}, by which rows are kept together; known: {', '.join(columns)}"
        raise Rejection("no_group", said)
    return str(value)


def _open_writer(asked: Asked) -> Writer | None:
    return _load_writer(asked.tokenizer) if asked.tokenizer is not None else None


_load_writer: Callable[[Path], Writer] = functools.lru_cache(maxsize=1)(load_writer)


# ---- a row of a table


def _keep_row(unit: RowUnit, name: str, asked: Asked) -> Kept:
    row = unit.row
    if not isinstance(row, dict):
        raise Rejection("broken_row", f"is {str(row)[:80]}, expected an object with a picture and a text")
    if not is_known(row):
        raise Rejection("no_text", tell_unknown(row))
    pages = find_pages(row)
    if not pages:
        raise Rejection("no_picture", "the row names no picture, expected one")
    if len(pages) > 1:
        raise Rejection("several_pictures", f"the row has {len(pages)} pictures, expected one: give each a row")
    if unfit := explain_unfit(row):
        raise Rejection("several_pictures", f"the row {unfit}")
    if (text := find_target(row)) is None:
        raise Rejection("no_text", "the row has no text in any column or answer, expected one")
    prompt = find_prompt(row)
    columns, left_out = _choose_columns(row, text, prompt, asked)
    value = pages[0].value
    place = unit.place
    if isinstance(value, bytes):
        picture = read_picture("the picture inside", value, asked)
    else:
        path = _place(str(value), unit.folder)
        picture = read_picture(str(value), read_file(path, asked, name=str(value)), asked)
        place = name_below(path.parent, asked).removeprefix(".") or place
    source = row.get("source")
    return _keep(
        asked,
        origin=unit.origin,
        name=name,
        picture=picture,
        text=text,
        prompt=prompt,
        source=str(source) if isinstance(source, str | int) and source != "" else place,
        columns=columns,
        left_out=left_out,
    )


def _place(value: str, folder: Path) -> Path:
    if "://" in value and not value.startswith("file://"):
        raise Rejection("web_address", f"{value[:200]}: is an address, and nothing is fetched; name a file")
    if "\0" in value:
        raise Rejection("picture_missing", f"{clean_line(value)[:200]}: no file can have this name")
    return folder / value.removeprefix("file://")


def _choose_columns(
    row: Mapping[str, Any], text: str, prompt: str | None, asked: Asked
) -> tuple[dict[str, Scalar], tuple[str, ...]]:
    """The columns that are kept as they are, and the names of those that are left out though they hold something."""
    wanted = [*asked.keep, *([asked.group_by] if asked.group_by and asked.group_by != "source" else [])]
    columns = {name: value for name in wanted if isinstance(value := row.get(name), Scalar)}
    left = tuple(
        clean_line(str(name), limit=100)
        for name, value in row.items()
        if value is not None and value not in (text, prompt) and name not in (*columns, *_READ) and not is_turns(value)
    )
    return columns, left[:_MOST_COLUMNS]


# ---- a picture with a text beside it


def _keep_pair(unit: PairUnit, name: str, asked: Asked) -> Kept:
    require_inside(unit.text, unit.text.name, asked)
    text = read_text_file(unit.text)
    picture = read_picture(unit.origin, read_file(unit.picture, asked, name=unit.origin), asked)
    columns = {"document": unit.origin.rpartition(".")[0]}
    return _keep(asked, origin=unit.origin, name=name, picture=picture, text=text, source=unit.place, columns=columns)


# ---- a layout file


def _keep_layout(unit: LayoutUnit, name: str, asked: Asked) -> Iterator[Outcome]:
    require_inside(unit.path, unit.origin, asked)
    try:
        layout = parse_layout(read_bytes(unit.path, limit=LARGEST), unit.origin)
    except BrokenXml as error:
        raise Rejection("unknown_file" if is_other_xml(error) else "broken_file", str(error)) from None
    except OSError as error:
        raise Rejection("broken_file", f"{unit.origin}: cannot be read: {error.strerror or error}") from None
    path = _find_picture(unit, layout, asked)
    used = name_below(path, asked)
    try:
        picture = read_picture(str(path), read_file(path, asked), asked)
        if not layout.lines:
            raise Rejection("no_text", f"{unit.origin}: has no lines, expected at least one")
    except Rejection as error:
        yield _reject(unit.origin, error, used)
        return
    columns = {"document": unit.origin.rpartition(".")[0]}
    if not asked.lines:
        try:
            text = "\n".join(line.text for line in layout.lines)
            yield _keep(
                asked, origin=unit.origin, name=name, picture=picture, text=text, source=unit.place, columns=columns,
                used=used,
            )  # fmt: skip
        except Rejection as error:
            yield _reject(unit.origin, error, used)
        return
    for number, line in enumerate(layout.lines, 1):
        origin = f"{unit.origin}#{clean_line(line.name, limit=100)}"
        try:
            yield _keep(
                asked,
                origin=origin,
                name=f"{name}-{number:04d}",
                picture=_cut(picture, layout, line, asked),
                text=line.text,
                source=unit.place,
                columns=columns,
                used=used,
            )
        except Rejection as error:
            yield _reject(origin, error, used)


def _find_picture(unit: LayoutUnit, layout: Layout, asked: Asked) -> Path:
    """The picture that the file names, beside it or in the folder above it; else the one of its own name."""
    folders = (unit.path.parent, unit.path.parent.parent)
    if layout.picture and "\0" not in layout.picture:
        named = layout.picture.replace("\\", "/").removeprefix("file://")
        for folder in folders:
            if is_file(folder / named):
                return folder / named
    base = Path(layout.picture.replace("\\", "/")).name if "\0" not in layout.picture else ""
    endings = sorted(Image.registered_extensions())
    names = [*([base] if base else []), *(f"{unit.path.stem}{ending}" for ending in endings)]
    for folder in folders[: 2 if folders[1].resolve().is_relative_to(asked.roots[0]) else 1]:
        for name in names:
            if is_file(folder / name):
                return folder / name
    said = f"{unit.origin}: names {clean_line(layout.picture)[:200] or 'no picture'}, and there is none of its own name"
    raise Rejection("picture_missing", said)


def _cut(page: Picture, layout: Layout, line: Line, asked: Asked) -> Picture:
    if line.box is None:
        raise Rejection("no_region", f"{line.name} has no coordinates, expected those of a box or a polygon")
    width, height = page.image.size
    across, down = (width / layout.width if layout.width else 1.0), (height / layout.height if layout.height else 1.0)
    if abs(across - down) > ASPECT_TOLERANCE * max(across, down):
        seen = f"the page is {layout.width:g} x {layout.height:g} in the layout file, {width} x {height} upright"
        raise Rejection("no_region", f"{seen}: the coordinates are those of another picture")
    left, top = max(0, round(line.box[0] * across)), max(0, round(line.box[1] * down))
    right, bottom = min(width, round(line.box[2] * across)), min(height, round(line.box[3] * down))
    if right <= left or bottom <= top:
        raise Rejection("no_region", f"{line.name} lies beside the page, or has no extent")
    cut = page.image.crop((left, top, right, bottom))
    require_size(line.name, cut, asked)
    return encode_picture(cut, ("cut_out",))


# ---- pages of a PDF file


def _keep_pdf(unit: PdfUnit, name: str, asked: Asked) -> Iterator[Outcome]:
    require_inside(unit.path, unit.origin, asked)
    for number, text in enumerate(unit.texts, unit.first):
        origin = f"{unit.origin} page {number}"
        try:
            if text is None:
                raise Rejection("no_text", f"{origin}: its list of texts has none for this page")
            picture = encode_picture(_render(unit, number, asked), ("rendered",))
            require_size(origin, picture.image, asked)
            yield _keep(
                asked,
                origin=origin,
                name=f"{name}-{number:05d}",
                picture=picture,
                text=text,
                source=unit.place,
                columns={"document": unit.origin.rpartition(".")[0]},
            )
        except Rejection as error:
            yield _reject(origin, error)


def _render(unit: PdfUnit, number: int, asked: Asked) -> Image.Image:
    try:
        return open_page(Page(path=unit.path, number=number, count=0), dpi=asked.dpi)
    except ImageError as error:
        raise Rejection("not_a_picture", str(error)) from None
    except BROKEN_PICTURE as error:
        raise Rejection("not_a_picture", f"{unit.origin}: page {number} cannot be rendered ({error})") from None
