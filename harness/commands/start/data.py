"""The rows as `init` needs them: how many, and which are likely to become the longest. Reads, runs nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.foreign.files import is_file
from preflight_ocr.harness.foreign.rows import find_target, list_pages
from preflight_ocr.harness.foreign.tables import BrokenRows, find_table, iterate_rows

_TRIED = 4  # rows with the longest texts, and as many with the largest pictures
_SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation", "dev", "eval"), "test": ("test",)}


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """`folders` is split -> its folder. `longest` are numbers of rows of train, `characters` those of its longest text."""

    folders: dict[str, Path]
    count: int
    characters: int
    longest: tuple[int, ...]


def look_at_rows(directory: Path) -> Rows:
    """The data in `directory`, or in folders of the usual names in it. Raises UserError where there is none."""
    folders = find_folders(directory)
    sizes: list[tuple[int, int]] = []  # (characters, bytes of the picture)
    table = find_table(folders["train"])
    path = table.path
    try:
        for row in iterate_rows(table):
            text = find_target(row) if isinstance(row, dict) else None
            pages = list_pages(row) if isinstance(row, dict) else ()
            sizes.append((len(text or ""), _measure(folders["train"] / pages[0]) if pages else 0))
    except BrokenRows as error:
        raise UserError(f"--data: {error}; expected rows of {{image_path, text}}") from None
    if not sizes:
        raise UserError(f"--data: {path}: seen no row, expected rows of {{image_path, text}}")
    chosen = {
        index
        for column in (0, 1)
        for index in sorted(range(len(sizes)), key=lambda index: -sizes[index][column])[:_TRIED]
    }
    return Rows(
        folders=folders,
        count=len(sizes),
        characters=max(characters for characters, _ in sizes),
        longest=tuple(sorted(chosen)),
    )


def find_folders(directory: Path) -> dict[str, Path]:
    """Split -> the folder with its metadata; the folder itself is the train split where nothing is below it."""
    if is_file(directory):
        raise UserError(f"--data {directory}: seen a file, expected the folder that holds metadata.json")
    found = {
        split: directory / name
        for split, names in _SPLITS.items()
        for name in reversed(names)
        if _holds_rows(directory / name)
    }
    if "train" not in found and _holds_rows(directory):
        found["train"] = directory
    if "train" not in found:
        raise UserError(
            f"--data {directory}: seen neither metadata.json nor train/metadata.json in it; expected a list of "
            f"{{image_path, text}} there"
        )
    return found


def _holds_rows(folder: Path) -> bool:
    return is_file(folder / "metadata.json") or is_file(folder / "metadata.jsonl")


def _measure(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0
