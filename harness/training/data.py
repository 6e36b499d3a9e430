"""Rows of a data directory. Only metadata.json is read here; the collator opens images when a batch needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.foreign.json_text import BrokenJson, read_json


class DataError(UserError):
    """A data directory cannot be used."""


class Rows(Dataset[dict[str, Any]]):
    """The rows `{image_path, text, ...}` of `directory/metadata.json`, image paths made absolute. Picklable.

    With `augmented`, each access draws an `augmentation_seed` from torch's generator, which Trainer seeds: epochs differ,
    two runs with one seed do not. A resumed run draws others than the run it goes on from.
    """

    def __init__(self, directory: Path, *, augmented: bool = False) -> None:
        self.directory, self.augmented = Path(directory), augmented
        self._rows = _read_rows(self.directory)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = dict(self._rows[index])
        if row.get("image_path") is not None:
            row["image_path"] = str(self.directory / row["image_path"])
        if self.augmented:
            row["augmentation_seed"] = int(torch.randint(2**31, ()))
        return row


def _read_rows(directory: Path) -> list[dict[str, Any]]:
    path = directory / "metadata.json"
    try:
        rows = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: there is no such file; expected a list of {{image_path, text}} in it") from None
    except BrokenJson as error:
        raise DataError(
            f"{error}; this is not JSON that can be used: expected a list of {{image_path, text}}"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; expected a list of {{image_path, text}}") from None
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{path}: expected a list of at least one {{image_path, text}}, seen {str(rows)[:40]}")
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise DataError(
                f"{path}: row {number} is {str(row)[:80]}, expected {{image_path, text}} with text as a string"
            )
        if not isinstance(row.get("image_path"), str | None):
            seen = f"row {number} has image_path {str(row['image_path'])[:80]}, expected one path or nothing"
            raise DataError(f"{path}: {seen}; a row has one image: join its pages, or give each a row")
    return rows
