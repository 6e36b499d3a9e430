"""The rows and their pictures, one after the other: what is kept of a row is a few bytes, however long its text is."""

from __future__ import annotations

import functools
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from preflight_ocr.harness.facts import Dataset, RowProblem, Split, Unknown
from preflight_ocr.harness.foreign.rows import (
    explain_unfit,
    find_pages,
    find_target,
    is_known,
    name_page,
    tell_unknown,
)
from preflight_ocr.harness.foreign.tables import BrokenRows, NoRows, Table, UnknownForm, find_table, iterate_rows
from preflight_ocr.harness.foreign.tables import count_rows as count_in
from preflight_ocr.probes.reading.picture_files import (
    DECODED_PIXELS,
    Kind,
    PictureReader,
    Trouble,
    sample_digest,
    whole_digest,
)
from preflight_ocr.probes.reading.spelling import SpellingReader

if TYPE_CHECKING:
    from preflight_ocr.harness.config.schema import Config

_LISTED = 2000  # problems of one kind in one split that are listed; of the others their number is said
_COLUMNS = 200  # names of columns that are noted
_SHOWN = 2000  # rows that stand on both sides, likewise
_PATHS = 4096  # characters of an image_path that are kept


class _Row(msgspec.Struct, frozen=True):
    """One row as it is worked with: `path` is absolute, None where the row names no file; `content` a picture's bytes."""

    split: str
    index: int
    image: str
    path: Path | None
    content: bytes | None
    text: str


class _Place(NamedTuple):
    split: str
    number: int
    image: str
    path: Path | None


def look_at_dataset(config: Config, image_token: str | None) -> Dataset | Unknown:
    """Every row of train, val and test. Unknown when nothing is configured or the rows cannot be read.

    `image_token` is the placeholder that must not stand in a target text; None looks for none.
    """
    if config.subject.dataset is not None:
        return Unknown(reason="the rows come from `subject.dataset`, whose code is not run where files are read")
    folders = {"train": config.data.train_path, "val": config.data.val_path, "test": config.data.test_path}
    if not any(folders.values()):
        return Unknown(reason=f"{config.source}: no `data.train_path`; write the file or the folder of your rows")
    splits: list[Split] = []
    problems = _Problems()
    twins = _Twins()
    pictures = PictureReader()
    is_ascii, spellings = True, SpellingReader()
    takes_any = config.subject.collator is not None  # ours reads one page a row
    for name, folder in folders.items():
        if folder is None:
            continue
        pictures.begin_split()
        columns: dict[str, None] = {}
        count = pictured = 0
        try:
            table = find_table(folder, name)
            for count, document in enumerate(iterate_rows(table), 1):
                if isinstance(document, dict) and len(columns) < _COLUMNS:
                    columns.update(dict.fromkeys(str(key)[:100] for key in document))
                row, found = _read_row(name, count - 1, document, table, image_token, takes_any=takes_any)
                size = -1
                if row.path is not None:
                    seen, size = pictures.look(row.path)
                    found += seen
                elif row.content is not None:
                    seen, size = pictures.look_at_bytes(row.content)
                    found += seen
                pictured += row.image != ""
                problems.add(row, found)
                twins.add(row, size)
                is_ascii = is_ascii and row.text.isascii()
                spellings.look(f"{name} row {count - 1}", row.text)
        except UnknownForm as error:
            return Unknown(reason=f"data.{name}_path: {error}", cause="unreadable file")
        except NoRows as error:
            return Unknown(reason=f"data.{name}_path: {error}")
        except BrokenRows as error:
            return Unknown(reason=f"data.{name}_path: {_explain_broken(error)}", cause="unreadable file")
        splits.append(
            Split(name=name, path=str(table.path), rows=count, pictured=pictured, columns=tuple(columns)[:_COLUMNS])
        )
    return Dataset(
        splits=tuple(splits),
        problems=tuple(problems.finish()),
        shared_rows=tuple(_cut(twins.find())),
        text_is_ascii=is_ascii,
        spellings=spellings.finish(),
        image_headers=pictures.opened if pictures.obstacle is None else pictures.obstacle,
        image_pixels=_tell_pixels(pictures, damaged=problems.has_any("unreadable image", "truncated image")),
    )


def _tell_pixels(pictures: PictureReader, *, damaged: bool) -> int | Unknown:
    """How many pictures were decoded; Unknown where some were not, unless another is damaged, which is told anyway."""
    if pictures.obstacle is not None:
        return pictures.obstacle
    if damaged or not pictures.passed_over:
        return pictures.decoded
    most = f"a check decodes {DECODED_PIXELS // 1_000_000} million pixels of each split"
    return Unknown(
        reason=f"{pictures.passed_over:,} of {pictures.opened:,} pictures were read by their header, their checksums and "
        f"their end, and not decoded: {most}"
    )


def count_rows(folder: Path) -> int | Unknown:
    """How many rows are at a path; Unknown with the line or row where they are broken."""
    try:
        table = find_table(folder)
        return _count(table, tuple(_stamp(path) for path in table.files))
    except NoRows as error:
        return Unknown(reason=str(error))
    except BrokenRows as error:
        return Unknown(reason=_explain_broken(error))


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise BrokenRows(f"{path}: cannot be read: {error.strerror}") from None
    return status.st_size, status.st_mtime_ns, status.st_ino


@functools.lru_cache(maxsize=8)
def _count(table: Table, stamps: tuple[tuple[int, int, int], ...]) -> int:
    return count_in(table)


def _explain_broken(error: BrokenRows) -> str:
    is_list = ".json:" in str(error) and "cannot be read:" not in str(error)
    return f"{error}; expected a list of {{image_path, text}}" if is_list else str(error)


def _read_row(
    split: str, index: int, document: Any, table: Table, image_token: str | None, *, takes_any: bool
) -> tuple[_Row, list[Trouble]]:
    if not isinstance(document, dict):
        said = f"the row is a {type(document).__name__}, expected {{image_path, text}}"
        row = _Row(split=split, index=index, image="", path=None, content=None, text="")
        return row, [("malformed row", said)]
    found: list[Trouble] = []
    # Of several pages the first stands for all.
    page = next(iter(find_pages(document)), None)
    name = page.value if page is not None and isinstance(page.value, str) else None
    if page is None or (name is not None and "\0" in name):
        found.append(_tell_unpictured(document, takes_any=takes_any))
        page = name = None
    if not takes_any and (unfit := explain_unfit(document)):
        found.append(("malformed row", f"the row {unfit}"))
    text = find_target(document)
    if not is_known(document):
        found.append(("malformed row", tell_unknown(document)))
    elif not isinstance(text, str) or not text.strip():
        seen = document.get("text", text)
        found.append(("empty text", f"text is {seen!r:.180}, expected what stands on the page"))
    if image_token and isinstance(text, str) and image_token in text:
        found.append(("image token in text", f"{text.count(image_token)} times {image_token}"))
    row = _Row(
        split=split,
        index=index,
        image="" if page is None else name_page(page)[:_PATHS],
        path=None if name is None else table.folder / name.removeprefix("file://"),
        content=page.value if page is not None and isinstance(page.value, bytes) else None,
        text=text if isinstance(text, str) else "",
    )
    return row, found


def _tell_unpictured(document: dict[str, Any], *, takes_any: bool) -> Trouble:
    image = document.get("image_path")
    if isinstance(image, str):  # not the same as none: training would look for a file of this name
        return "malformed row", f"image_path is {image!r:.200}, expected the path of an image, or no such key"
    if not image and "image_path" in document and not takes_any:
        return "malformed row", f"image_path is {image!r:.200}: the row would be learned without a page"
    if image is not None and not isinstance(image, str | list):
        return "malformed row", f"image_path is {image!r:.200}, expected the path of an image as text"
    if image is None and "image_path" not in document:
        return "no image", f"no picture in {', '.join(map(str, document))[:200]}, expected the path of an image"
    return "no image", f"image_path is {image!r:.200}, expected the path of an image"


class _Problems:
    """The problems of the rows in their order: the first of a kind in a split, and how many there are beyond."""

    def __init__(self) -> None:
        self._listed: list[RowProblem] = []
        self._counts: Counter[tuple[str, Kind]] = Counter()
        self._last: dict[tuple[str, Kind], int] = {}

    def add(self, row: _Row, found: Iterable[Trouble]) -> None:
        for kind, detail in found:
            place = (row.split, kind)
            self._counts[place] += 1
            if self._counts[place] <= _LISTED:
                problem = RowProblem(split=row.split, row=row.index, image=row.image, kind=kind, detail=detail)
                self._listed.append(problem)
            else:
                self._last[place] = row.index

    def has_any(self, *kinds: Kind) -> bool:
        return any(kind in kinds for _, kind in self._counts)

    def finish(self) -> Iterator[RowProblem]:
        yield from self._listed
        for (split, kind), index in self._last.items():
            more = self._counts[split, kind] - _LISTED
            yield RowProblem(split=split, row=index, image="", kind=kind, detail=f"and {more:,} more up to this row")


class _Twins:
    """Pictures of train that stand in val or test too: the same bytes, or the same path with the same text."""

    def __init__(self) -> None:
        self._trained: dict[bytes, _Place] = {}
        self._by_size: defaultdict[int, list[_Place]] = defaultdict(list)
        self._others: list[tuple[_Place, bytes, int]] = []
        self._samples: dict[int, dict[bytes, list[_Place]]] = {}
        self._whole: dict[Path, bytes] = {}

    def add(self, row: _Row, size: int) -> None:
        """`size` is that of the picture in bytes, -1 where it cannot be opened."""
        if row.path is None and row.content is None:
            return
        path = b"" if row.path is None else os.fsencode(os.path.normpath(row.path))
        said = path + b"\0" + row.text.encode("utf-8", "surrogatepass") if row.content is None else row.content
        key = hashlib.blake2b(said, digest_size=16).digest()
        place = _Place(row.split, row.index, row.image, row.path)
        if row.split == "train":
            self._trained.setdefault(key, place)
            if place.path is not None:
                self._by_size[size].append(place)
        else:
            self._others.append((place, key, size))

    def find(self) -> Iterator[str]:
        for place, key, size in self._others:
            twin = self._trained.get(key)
            if twin is None and size > 0 and place.path is not None and size in self._by_size:
                twin = self._find_same(place.path, size)
            if twin is not None:
                yield f"train row {twin.number} ({twin.image}) = {place.split} row {place.number} ({place.image})"

    def _find_same(self, path: Path, size: int) -> _Place | None:
        """The first row of train whose picture has these bytes. Only files that look alike are read whole."""
        if size not in self._samples:
            alike: dict[bytes, list[_Place]] = {}
            for place in self._by_size[size]:
                assert place.path is not None
                alike.setdefault(sample_digest(place.path, size), []).append(place)
            self._samples[size] = alike
        candidates = self._samples[size].get(sample_digest(path, size), [])
        return next((one for one in candidates if one.path and self._read(one.path) == self._read(path) != b""), None)

    def _read(self, path: Path) -> bytes:
        if path not in self._whole:
            self._whole[path] = whole_digest(path)
        return self._whole[path]


def _cut(found: Iterator[str]) -> Iterator[str]:
    for number, line in enumerate(found):
        if number == _SHOWN:
            yield f"and {1 + sum(1 for _ in found):,} more"
            return
        yield line
