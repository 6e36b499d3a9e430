"""What SOURCE holds, as units in an order that stays the same: tables of rows, or scans with their texts beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from preflight_ocr.harness.commands.prepare.asked import PrepareError
from preflight_ocr.harness.commands.prepare.scans import iterate_scans, list_folders, list_names
from preflight_ocr.harness.commands.prepare.units import LostUnit, RowUnit, Unit
from preflight_ocr.harness.config.hub import find_dataset
from preflight_ocr.harness.foreign.files import is_file, is_folder, is_there
from preflight_ocr.harness.foreign.tables import (
    Broken,
    BrokenRows,
    NoRows,
    Table,
    UnknownForm,
    count_rows,
    find_table,
    iterate_patiently,
)
from preflight_ocr.harness.foreign.text import clean_line

_SPLITS = ("train", "training", "val", "valid", "validation", "dev", "eval", "test")
_SCANNED = (".pdf", ".xml")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """`tables` of rows, in their order, or none where `path` holds scans. `root` is what pictures have to lie in."""

    path: Path
    root: Path
    tables: tuple[Table, ...]


def open_source(path: Path) -> Source:
    """Find out what SOURCE is. Raises PrepareError; no row is read."""
    if not is_there(path):
        snapshot = find_dataset(str(path))
        if snapshot is None:
            raise PrepareError(f"{path}: there is no such file or folder, and no such dataset in the Hub's cache")
        # What lies in a snapshot are links into the folder above it.
        return Source(path=snapshot, root=snapshot.parent.parent.resolve(), tables=_require_tables(snapshot))
    root = (path if is_folder(path) else path.parent).resolve()
    if is_file(path):
        tables = () if path.suffix.lower() in _SCANNED else _require_tables(path)
        return Source(path=path, root=root, tables=tables)
    if _names_tables(path):
        return Source(path=path, root=root, tables=_require_tables(path))
    units = (unit for unit in iterate_scans(path) if not isinstance(unit, LostUnit))
    if next(units, None) is not None:
        return Source(path=path, root=root, tables=())
    return Source(path=path, root=root, tables=_require_tables(path))


def _names_tables(path: Path) -> bool:
    """Whether a folder, or one of a split in it, says by a file's name that it holds rows."""
    folders = (path, *(path / split for split in _SPLITS))
    names = ("metadata.json", "metadata.jsonl", "metadata.csv", "metadata.parquet", "state.json", "dataset_dict.json")
    return any(is_file(folder / name) for folder in folders for name in names)


def _require_tables(path: Path) -> tuple[Table, ...]:
    """Every table there, of all splits: they are divided anew."""
    found: dict[tuple[Path, ...], Table] = {}
    said = ""
    inside = [path / split for split in _SPLITS if is_folder(path / split)] if is_folder(path) else []
    for folder, split in [*((path, split) for split in ("train", "val", "test")), *((one, "train") for one in inside)]:
        try:
            table = find_table(folder, split)
        except UnknownForm as error:
            said = said or str(error)
        except NoRows as error:
            raise PrepareError(str(error)) from None
        else:
            found.setdefault(tuple(file.resolve() for file in table.files), table)
    if not found:
        scans = "a folder of pictures with texts of their names (page.png, page.txt), PAGE-XML, ALTO, PDF files"
        raise PrepareError(f"{said}; or {scans}")
    return tuple(found.values())


def iterate_units(source: Source) -> Iterator[Unit]:
    """Every unit. Raises PrepareError where the form needs a package that is absent."""
    if not source.tables:
        yield from iterate_scans(source.path)
        return
    for table in source.tables:
        try:
            for file, number, row in iterate_patiently(table):
                origin = f"{_name(file, source)}:{number}"
                if isinstance(row, Broken):
                    reason = "broken_file" if row.ends else "broken_row"
                    yield LostUnit(origin=origin, reason=reason, said=row.said, ends=row.ends)
                else:
                    yield RowUnit(origin=origin, row=row, folder=table.folder, place=clean_line(file.stem))
        except NoRows as error:
            raise PrepareError(str(error)) from None


def count_units(source: Source) -> int | None:
    """How many there are; None where counting costs as much as reading."""
    if any(table.form == "arrow" for table in source.tables):
        return None
    try:
        return sum(map(count_rows, source.tables)) if source.tables else sum(1 for _ in iterate_scans(source.path))
    except (BrokenRows, NoRows):
        return None


def digest_source(source: Source) -> str:
    """The same while the files that list rows, or all files among scans, have the same names, sizes and times."""
    found = hashlib.blake2b(digest_size=16)
    if source.tables:
        files: Iterator[Path] = (file for table in source.tables for file in table.files)
    elif is_file(source.path):
        files = (source.path.parent / name for name in list_names(source.path.parent).files)
    else:
        files = (folder / name for folder in list_folders(source.path) for name in list_names(folder).files)
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        found.update(f"{file.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def _name(file: Path, source: Source) -> str:
    base = source.path if is_folder(source.path) else source.path.parent
    return clean_line(file.relative_to(base).as_posix() if file.is_relative_to(base) else file.name)
