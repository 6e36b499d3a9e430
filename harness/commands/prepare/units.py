"""What one process works on at a time: a row, a picture with its text, a layout file, some pages of a PDF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec


class RowUnit(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a table. `row` is anything that a file may hold; pictures that it names are looked for in `folder`."""

    origin: str
    row: Any
    folder: Path
    place: str


class PairUnit(msgspec.Struct, frozen=True, kw_only=True):
    """A picture and the file with its text."""

    origin: str
    picture: Path
    text: Path
    place: str


class LayoutUnit(msgspec.Struct, frozen=True, kw_only=True):
    """A PAGE or ALTO file."""

    origin: str
    path: Path
    place: str


class PdfUnit(msgspec.Struct, frozen=True, kw_only=True):
    """Pages of a PDF file from `first` on, counted from 1, and the text of each; None for a page without one."""

    origin: str
    path: Path
    first: int
    texts: tuple[str | None, ...]
    place: str


class LostUnit(msgspec.Struct, frozen=True, kw_only=True):
    """What is left out before anything is decoded. `ends` and `unless_used` are as in Rejected."""

    origin: str
    reason: str
    said: str
    unless_used: str = ""
    ends: bool = False


Unit = RowUnit | PairUnit | LayoutUnit | PdfUnit | LostUnit


def weigh(unit: Unit) -> int:
    """About how many bytes of pictures a unit carries from one process to another."""
    if not isinstance(unit, RowUnit) or not isinstance(unit.row, dict):
        return 0
    return sum(_weigh_value(value) for value in unit.row.values())


def _weigh_value(value: Any) -> int:
    if isinstance(value, bytes | str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_weigh_value, value.values()))
    return sum(map(_weigh_value, value)) if isinstance(value, list | tuple) else 0
