"""Files of rows, in the forms that people keep them in: which form a path has, and its rows one after the other.

Memory stays bounded whatever the size of a file. JSON, JSON Lines and CSV need no library; parquet and what `save_to_disk`
writes are read by pyarrow, which comes with `datasets`.
"""

from __future__ import annotations

import csv
import difflib
import functools
import glob
import importlib.util
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import msgspec

from preflight_ocr.harness.foreign.files import is_file, is_folder, is_there, open_file, read_bytes
from preflight_ocr.harness.foreign.json_text import BrokenJson, iterate_list, parse_json

Form = Literal["JSON", "JSON Lines", "CSV", "parquet", "arrow"]
FORMS = (
    "metadata.json; an imagefolder with metadata.jsonl, .csv or .parquet; a file .json, .jsonl, .csv, .tsv or .parquet; a "
    "folder of parquet files; a folder written by save_to_disk; the id of a dataset that lies in the Hub's cache"
)
NEEDS_DATASETS = "needs pyarrow, which comes with datasets and is not installed here; type `pip install datasets`"

_ENDINGS: dict[str, Form] = {
    ".json": "JSON",
    ".jsonl": "JSON Lines",
    ".ndjson": "JSON Lines",
    ".csv": "CSV",
    ".tsv": "CSV",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
_METADATA = ("metadata.json", "metadata.jsonl", "metadata.csv", "metadata.parquet")
_SPLITS = {"train": ("train",), "val": ("validation", "valid", "val", "dev", "eval"), "test": ("test",)}
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_LONGEST_LINE = 16 * 2**20  # bytes
_AT_ONCE = 64  # rows of a file with pictures in it
_BOM = b"\xef\xbb\xbf"


class BrokenRows(ValueError):
    """A file of rows that cannot be read on. The message says where, and what was expected."""


class NoRows(ValueError):
    """There are no rows at a path, or nothing here reads them. The message says what is there and what to type."""


class UnknownForm(NoRows):
    """There is something at a path, in no form that is known. The message names the nearest one, and all of them."""


class Broken(NamedTuple):
    """What stands in place of a row that cannot be read; with `ends`, in place of all that follow it in its file."""

    said: str
    ends: bool


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Where rows are: `folder` is what the pictures they name are looked for in.

    is_image_folder: the rows name their pictures in `file_name`, and `datasets` gives the picture itself in `image`.
    """

    form: Form
    files: tuple[Path, ...]
    folder: Path
    is_image_folder: bool = False

    @property
    def path(self) -> Path:
        """The file, or the folder of several."""
        return self.files[0] if len(self.files) == 1 else self.folder


def find_table(path: Path, split: str = "train") -> Table:
    """The rows that `path` means: a file, a folder, or a name with `*`. `split` is "train", "val" or "test".

    Raises NoRows. No row is read.
    """
    if "*" in path.name:
        found = sorted(map(Path, glob.glob(str(path))))  # noqa: PTH207 - the folder's name may hold a pattern's signs
        if not found:
            raise NoRows(f"{path}: no file has such a name")
        return _open_files(found, path.parent)
    if is_file(path):
        return _open_files([path], path.parent)
    if not is_folder(path):
        raise NoRows(f"{path}: no such folder; {_suggest(path)}")
    for name in _METADATA:
        if is_there(path / name):
            return _open_files([path / name], path)
    if is_file(path / "state.json"):
        return _open_saved(path)
    if is_file(path / "dataset_dict.json"):
        return _open_saved(path / _choose_saved(path, split))
    for folder in (path, path / "data"):
        if found := _choose_files(folder, split):
            return _open_files(found, folder)
    raise UnknownForm(f"{path}: no metadata.json in it; {_suggest(path)}")


def iterate_rows(table: Table) -> Iterator[Any]:
    """Each row as it stands in the file; a picture inside is `{"bytes": ..., "path": ...}` as `datasets` writes it.

    Raises BrokenRows with the file and the line or row, whichever rows were given before.
    """
    read = _READERS[table.form]
    for path in table.files:
        try:
            yield from read(path)
        except BrokenJson as error:
            raise BrokenRows(str(error)) from None
        except OSError as error:
            raise BrokenRows(f"{path}: cannot be read: {error.strerror or error}") from None


def iterate_patiently(table: Table) -> Iterator[tuple[Path, int, Any]]:
    """Each row with its file and its number there, from 1. One that cannot be read is a Broken, and the next ones follow.

    Raises NoRows where nothing here reads the form.
    """
    for path in table.files:
        number = 0
        try:
            for number, row in enumerate(_PATIENT.get(table.form, _READERS[table.form])(path), 1):
                yield path, number, row
        except (BrokenRows, BrokenJson) as error:
            yield path, number + 1, Broken(str(error), ends=True)
        except OSError as error:
            yield path, number + 1, Broken(f"{path}: cannot be read: {error.strerror or error}", ends=True)


def count_rows(table: Table) -> int:
    """How many rows there are. Raises BrokenRows."""
    if table.form == "parquet":
        return sum(_open_parquet(path).metadata.num_rows for path in table.files)
    return sum(1 for _ in iterate_rows(table))


def needs_pyarrow(table: Table) -> bool:
    """Whether the rows lie in a form that only `datasets` and its pyarrow read."""
    return table.form in ("parquet", "arrow")


# ---- which files


def _open_files(files: Iterable[Path], folder: Path) -> Table:
    files = tuple(files)
    forms = {_ENDINGS.get(path.suffix.lower()) for path in files}
    form = forms.pop()
    if form is None or forms:
        named = ", ".join(path.name for path in files[:5])
        raise UnknownForm(f"{folder / named}: {_suggest(files[0])}")
    is_image_folder = files[0].name in _METADATA[1:]
    return Table(form=form, files=files, folder=folder, is_image_folder=is_image_folder)


def _suggest(path: Path) -> str:
    """The nearest form that is known, and all of them."""
    near = next(iter(difflib.get_close_matches(path.suffix.lower(), _ENDINGS, n=1, cutoff=0.5)), "")
    if is_file(path):
        said = f"a file that ends in {path.suffix!r} is no form of rows that is known"
        return f"{said}{f'; the nearest is {near}' if near else ''}; known: {FORMS}"
    inside = _list_inside(path)
    holding = next((name for name in inside if _holds_rows(path / name)), None)
    if holding is not None:
        return f"its folder {holding} has rows: write {path / holding}; known: {FORMS}"
    named = [name for name in inside if Path(name).suffix.lower() in _ENDINGS]
    if named:
        return f"it holds {', '.join(named[:5])}: name one of them; known: {FORMS}"
    names = difflib.get_close_matches("metadata.json", inside, n=1, cutoff=0.6)
    nearest = f"{names[0]} is no name that is looked for; " if names else ""
    missing = path / "metadata.json"
    known = f"expected {missing} with [{{image_path, text}}, ...], or another known form: {FORMS}"
    if not is_folder(path) and re.fullmatch(r"[\w.-]+/[\w.-]+", "/".join(path.parts[-2:])):
        repository = "/".join(path.parts[-2:])
        known += f". A dataset of the Hub is fetched with `hf download --repo-type dataset {repository}`"
    return nearest + known


def _holds_rows(folder: Path) -> bool:
    return is_folder(folder) and any(
        is_there(folder / name) for name in (*_METADATA, "state.json", "dataset_dict.json")
    )


def _list_inside(folder: Path, most: int = 2000) -> list[str]:
    try:
        return sorted(entry.name for entry, _ in zip(folder.iterdir(), range(most), strict=False))
    except OSError:
        return []


def _choose_files(folder: Path, split: str) -> list[Path]:
    """The files of one group: all shards of the split's name, or the only group that there is."""
    groups: dict[str, list[Path]] = {}
    for name in _list_inside(folder):
        path = folder / name
        if path.suffix.lower() in _ENDINGS and path.suffix != ".arrow" and is_file(path):
            groups.setdefault(_SHARD.sub("", path.stem), []).append(path)
    groups = {name: files for name, files in groups.items() if len({path.suffix for path in files}) == 1}
    chosen = [name for alias in _SPLITS[split] for name in groups if name == alias]
    if chosen:
        return groups[chosen[0]]
    others = {alias for name, aliases in _SPLITS.items() if name != split for alias in aliases}
    left = [files for name, files in groups.items() if name not in others]
    return left[0] if len(left) == 1 else []


def _choose_saved(path: Path, split: str) -> str:
    """The folder of a split in what a DatasetDict's save_to_disk wrote."""
    content = _read_object(path / "dataset_dict.json")
    splits = [str(name) for name in content.get("splits", ())]
    for alias in _SPLITS[split]:
        if alias in splits:
            return alias
    seen = f"{path}: save_to_disk wrote the splits {', '.join(splits)} there"
    raise UnknownForm(f"{seen}, none of which is called {' or '.join(_SPLITS[split])}; write the folder of one of them")


def _open_saved(path: Path) -> Table:
    content = _read_object(path / "state.json")
    named = content.get("_data_files")
    names = [one.get("filename") for one in named if isinstance(one, dict)] if isinstance(named, list) else []
    files = [path / Path(name).name for name in names if isinstance(name, str)]
    if not files:
        raise UnknownForm(f"{path / 'state.json'}: names no data file; expected what save_to_disk writes")
    return Table(form="arrow", files=tuple(files), folder=path)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(read_bytes(path), str(path))
    except (BrokenJson, OSError) as error:
        raise UnknownForm(f"{error}; expected what save_to_disk writes") from None
    return content if isinstance(content, dict) else {}


# ---- their rows


def _read_json(path: Path, *, patient: bool = False) -> Iterator[Any]:
    """A list; or, whatever the file is called, a row on each line."""
    with open_file(path) as file:
        head = file.read(4096).removeprefix(_BOM).lstrip()
    first = head.partition(b"\n")[0].strip()
    is_lines = head.startswith(b"{") and first.endswith(b"}") and b"\n" in head
    yield from _read_lines(path, patient=patient) if is_lines else iterate_list(path)


def _read_lines(path: Path, *, patient: bool = False) -> Iterator[Any]:
    """`patient`: a line that is no JSON is a Broken."""
    for number, line in _list_lines(path):
        if line.strip():
            try:
                row = parse_json(line, str(path), line=number)
            except BrokenJson as error:
                if not patient:
                    raise
                row = Broken(str(error), ends=False)
            yield row


def _list_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with open_file(path) as file:
        for number, line in enumerate(_cut_lines(file, path), 1):
            yield number, line.removeprefix(_BOM) if number == 1 else line


def _cut_lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise BrokenRows(
                f"{path}:{number}: the line has more than {_LONGEST_LINE:,} bytes, expected a row on a line"
            )
        yield line


def _read_csv(path: Path, *, patient: bool = False) -> Iterator[Any]:
    """`patient`: a row of more or fewer cells than there are columns is a Broken."""
    lines = _decode_lines(path)
    first = next(lines, "")
    separator = max(",;\t", key=first.count)
    csv.field_size_limit(_LONGEST_LINE)
    at = 1

    def give() -> Iterator[str]:
        nonlocal at
        yield first
        for at, line in enumerate(lines, 2):  # noqa: B007 - at is read where a row is broken
            yield line

    header: list[str] | None = None
    try:
        for cells in csv.reader(give(), delimiter=separator, strict=True):
            if header is None:
                header = cells
                if len(set(header)) < len(header) or not all(header):
                    raise BrokenRows(
                        f"{path}:1: the columns are {', '.join(header)}; expected a name of its own for each"
                    )
            elif cells:
                if len(cells) != len(header):
                    seen = f"{path}:{at}: {len(cells)} cells, expected {len(header)}"
                    said = f"{seen}, as many as the columns {', '.join(header)}; quote a cell that holds a separator"
                    if not patient:
                        raise BrokenRows(said)
                    yield Broken(said, ends=False)
                    continue
                yield dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise BrokenRows(f"{path}:{at}: cannot be read as CSV: {error}") from None


def _decode_lines(path: Path) -> Iterator[str]:
    for number, line in _list_lines(path):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            said = f"{path}:{number}: byte {error.start} of the line is not UTF-8; save the file as UTF-8"
            raise BrokenRows(said) from None


def _open_parquet(path: Path) -> Any:
    _require_pyarrow(path)
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path, memory_map=True)
    except (pyarrow.ArrowException, OSError) as error:
        raise BrokenRows(
            f"{path}: cannot be read as parquet: {_shorten(error)}; fetch or export the file again"
        ) from None


def _read_parquet(path: Path) -> Iterator[Any]:
    file = _open_parquet(path)
    yield from _flatten(file.iter_batches(batch_size=_AT_ONCE, use_threads=False), path)


def _read_arrow(path: Path) -> Iterator[Any]:
    _require_pyarrow(path)
    import pyarrow

    try:
        source = pyarrow.memory_map(str(path))
        try:
            batches = iter(pyarrow.ipc.open_stream(source))
        except pyarrow.ArrowInvalid:
            source.seek(0)
            opened = pyarrow.ipc.open_file(source)
            batches = (opened.get_batch(at) for at in range(opened.num_record_batches))
    except (pyarrow.ArrowException, OSError) as error:
        raise BrokenRows(f"{path}: cannot be read as arrow: {_shorten(error)}; save the dataset again") from None
    yield from _flatten(batches, path)


def _flatten(batches: Iterator[Any], path: Path) -> Iterator[Any]:
    """Every row of every batch, a few at a time."""
    import pyarrow

    number = 0
    try:
        for batch in batches:
            for first in range(0, batch.num_rows, _AT_ONCE):
                rows = batch.slice(first, _AT_ONCE).to_pylist()
                yield from rows
                number += len(rows)
    except (pyarrow.ArrowException, OSError) as error:
        seen = f"{path}: broken behind row {number}: {_shorten(error)}"
        raise BrokenRows(f"{seen}; fetch or export the file again") from None


def _shorten(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def _require_pyarrow(path: Path) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise NoRows(f"{path}: reading it {NEEDS_DATASETS}")


_READERS: dict[Form, Callable[[Path], Iterator[Any]]] = {
    "JSON": _read_json,
    "JSON Lines": _read_lines,
    "CSV": _read_csv,
    "parquet": _read_parquet,
    "arrow": _read_arrow,
}
_PATIENT: dict[Form, Callable[[Path], Iterator[Any]]] = {
    "JSON": functools.partial(_read_json, patient=True),
    "JSON Lines": functools.partial(_read_lines, patient=True),
    "CSV": functools.partial(_read_csv, patient=True),
}
