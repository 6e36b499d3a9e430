"""JSON files that somebody else wrote: read once, never trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeGuard

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.foreign import files
from preflight_ocr.harness.foreign.json_text import BrokenJson, name_kind, parse_json

_LARGEST = files.LARGEST


def read_json(path: Path) -> Any | Unknown:
    """The parsed file (UTF-8; NaN and Infinity allowed, as in transformers), or Unknown with the line at fault."""
    data = read_bytes(path)
    if isinstance(data, Unknown):
        return data
    try:
        return parse_json(data, str(path))
    except BrokenJson as error:
        return Unknown(reason=str(error), cause="unreadable file")


def read_object(path: Path) -> dict[str, Any] | Unknown | None:
    """A JSON object; None where there is no such file, Unknown where it is broken or holds something else."""
    if not files.is_there(path):
        return None
    value = read_json(path)
    if isinstance(value, (dict, Unknown)):
        return value
    return Unknown(
        reason=f"{path}: seen a JSON {name_kind(value)}, expected an object in curly brackets", cause="unreadable file"
    )


def read_bytes(path: Path, limit: int = _LARGEST) -> bytes | Unknown:
    """A regular file's bytes. Pipes, devices and folders are not opened: reading them could never end."""
    try:
        return files.read_bytes(path, limit=limit)
    except FileNotFoundError:
        return Unknown(reason=f"{path}: there is no such file")
    except OSError as error:
        return Unknown(reason=f"{path}: cannot be read: {error.strerror}", cause="unreadable file")


def get_text(values: dict[str, Any], key: str) -> str | None:
    """A string at `key`, or None."""
    value = values.get(key)
    return value if isinstance(value, str) else None


def get_whole(values: dict[str, Any], key: str) -> int | None:
    """A whole number at `key` (no booleans), or None."""
    value = values.get(key)
    return value if is_whole(value) else None


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number that facts can carry: no boolean, and no more than 63 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def get_object(values: dict[str, Any], key: str) -> dict[str, Any]:
    """An object at `key`, or an empty one."""
    value = values.get(key)
    return value if isinstance(value, dict) else {}
