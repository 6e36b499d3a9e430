"""Rows of whatever form people keep them in. Of large files no more than a row is held; the collator opens pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import Dataset

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.packages import tell_absent
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.foreign.rows import (
    explain_unfit,
    find_pages,
    find_target,
    is_known,
    place_pages,
    put_at,
    reshape,
    tell_unknown,
)
from preflight_ocr.harness.foreign.tables import BrokenRows, NoRows, Table, find_table, iterate_rows, needs_pyarrow
from preflight_ocr.harness.training.images import read_content
from preflight_ocr.harness.training.subject import load_part


class DataError(UserError):
    """Rows cannot be used."""


class Rows(Dataset[dict[str, Any]]):
    """The rows at a path in any known form, paths of pictures made absolute. Picklable.

    For our own collator each is `{image_path or page, text, prompt?}`, whatever it was; with `as_written` it keeps its own
    columns, with pictures that it holds itself opened, as `datasets` gives them: for a collator of the user's.

    With `augmented`, each access draws an `augmentation_seed` from torch's generator, which Trainer seeds: epochs differ,
    two runs with one seed do not. A resumed run draws others than the run it goes on from.
    """

    def __init__(
        self, directory: Path, *, augmented: bool = False, as_written: bool = False, split: str = "train"
    ) -> None:
        self.directory, self.augmented, self.as_written = Path(directory), augmented, as_written
        try:
            self.table = find_table(self.directory, split)
        except NoRows as error:
            raise DataError(str(error)) from None
        self._rows = _open_rows(self.table)
        if not len(self._rows):
            raise DataError(f"{self.table.path}: expected at least one row with a picture and a text, seen none")
        if not needs_pyarrow(self.table):
            for number in range(len(self._rows)):
                self._require_usable(number, self._rows[number])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self._rows[index]
        if needs_pyarrow(self.table):
            self._require_usable(index, row)
        row = write_out(row, self.table) if self.as_written else reshape(row, self.table.folder)
        if self.augmented:
            row["augmentation_seed"] = int(torch.randint(2**31, ()))
        return row

    def _require_usable(self, number: int, row: Any) -> None:
        said = ("" if isinstance(row, dict) else "is no object") if self.as_written else explain_unusable(row)
        if said:
            raise DataError(f"{self.table.path}: row {number} {said}")


class YieldedRows(Dataset[dict[str, Any]]):
    """The rows that a function of the user's returned, as they are for a collator of the user's, else as ours takes them."""

    def __init__(self, rows: Any, *, augmented: bool, as_written: bool) -> None:
        self._rows, self.augmented, self.as_written = rows, augmented, as_written

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Any:
        row = self._rows[index]
        if self.as_written:
            return row
        if said := explain_unusable(row):
            raise DataError(f"subject.dataset: row {index} {said}")
        row = reshape(row, Path())
        if "page" in row and not isinstance(row["page"], bytes):
            row["page"] = encode_page(row["page"])
        if self.augmented:
            row["augmentation_seed"] = int(torch.randint(2**31, ()))
        return row


def names_rows(config: Config) -> bool:
    """Whether the configuration says where rows come from; a trainer of the user's may bring its own."""
    return config.data.train_path is not None or config.subject.dataset is not None


def open_rows(config: Config) -> tuple[Any, Any]:
    """The rows to train and to evaluate on (None without any): of subject.dataset, else of the files. Raises DataError."""
    augmented, as_written = config.data.augmentation.enabled, config.subject.collator is not None
    make = load_part(config, "dataset")
    if make is not None:
        made = make(config)
        train, val = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
        for rows in (train, *([] if val is None else [val])):
            if not hasattr(rows, "__len__") or not hasattr(rows, "__getitem__"):
                seen = f"subject.dataset returned a {type(rows).__name__}"
                raise DataError(f"{seen}, expected rows that can be counted and asked for by number, or a pair of them")
        return YieldedRows(train, augmented=augmented, as_written=as_written), (
            None if val is None else YieldedRows(val, augmented=False, as_written=as_written)
        )
    if config.data.train_path is None:
        raise DataError(f"{config.source}: data.train_path is missing; give the file or the folder of your rows")
    val_path = config.data.val_path
    return (
        Rows(config.data.train_path, augmented=augmented, as_written=as_written),
        Rows(val_path, as_written=as_written, split="val") if val_path else None,
    )


def encode_page(picture: Any) -> bytes:
    """A Pillow image as the bytes of a PNG file, which has all its pixels."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def explain_unusable(row: Any) -> str:
    """Why our own collator cannot train on this row; "" where it can."""
    if not isinstance(row, dict):
        return f"is {str(row)[:80]}, expected {{image_path, text}}"
    if not is_known(row):
        return f"cannot be read: {tell_unknown(row)}"
    if find_target(row) is None:
        return f"is {str(row)[:80]}, expected {{image_path, text}} with text as a string"
    if not isinstance(row.get("image_path"), str | list | None):
        return f"has image_path {str(row['image_path'])[:80]}, expected one path or nothing"
    unfit = explain_unfit(row)
    return f"{unfit}; or name a collator of your own in subject.collator" if unfit else ""


def write_out(row: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """The row in its own columns with whole paths, and with pictures opened where `datasets` opens them."""
    return open_pages(place_pages(row, table.folder), is_image_folder=table.is_image_folder)


def open_pages(row: Mapping[str, Any], *, is_image_folder: bool) -> dict[str, Any]:
    """The row with the pictures that it holds opened; of an imagefolder also the one that `file_name` names, in `image`."""
    opened: Any = dict(row)
    for page in find_pages(row):
        if isinstance(page.value, bytes):
            opened = put_at(opened, page.path, Image.open(io.BytesIO(page.value)))
    if is_image_folder and isinstance(opened.get("file_name"), str) and "image" not in opened:
        opened["image"] = Image.open(io.BytesIO(read_content(opened["file_name"])))
    return opened  # type: ignore[no-any-return]


def _open_rows(table: Table) -> Sequence[Any] | _Mapped:
    if not needs_pyarrow(table):
        try:
            return list(iterate_rows(table))
        except (BrokenRows, NoRows) as error:
            raise DataError(f"{error}; expected rows such as {{image_path, text}}") from None
    if absent := tell_absent(f"reading {table.path}", ("datasets",)):
        raise DataError(absent)
    return _open_with_datasets(table)


class _Mapped:
    """A memory-mapped dataset whose rows are given as they are stored: nothing is decoded. Picklable."""

    def __init__(self, found: Any) -> None:
        self._found = found.with_format("arrow")

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        row: dict[str, Any] = self._found[index].to_pylist()[0]
        return row


def _open_with_datasets(table: Table) -> _Mapped:
    import datasets
    from datasets.exceptions import DatasetsError

    try:
        if table.form == "parquet":
            return _Mapped(datasets.Dataset.from_parquet([str(path) for path in table.files]))
        return _Mapped(datasets.load_from_disk(str(table.folder)))
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        said = str(error.__cause__ or error).partition("\n")[0][:300]
        raise DataError(f"{table.path}: cannot be read: {said}; fetch or export it again") from error
