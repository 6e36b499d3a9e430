"""JSON files that somebody else wrote: read once, never trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeGuard

import msgspec

from preflight_ocr.harness.facts import Unknown

_LARGEST = 512 * 2**20


def read_json(path: Path) -> Any | Unknown:
    """The parsed file (UTF-8; NaN and Infinity allowed, as in transformers), or Unknown with the line at fault."""
    data = read_bytes(path)
    if isinstance(data, Unknown):
        return data
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _read_slowly(path, data)
    except RecursionError:
        return Unknown(reason=f"{path}: the brackets are nested too deep to be read; this is not a real JSON file")


def read_object(path: Path) -> dict[str, Any] | Unknown | None:
    """A JSON object; None where there is no such file, Unknown where it is broken or holds something else."""
    if not path.exists():
        return None
    value = read_json(path)
    if isinstance(value, (dict, Unknown)):
        return value
    return Unknown(reason=f"{path}: seen a JSON {_name(value)}, expected an object in curly brackets")


def read_bytes(path: Path, limit: int = _LARGEST) -> bytes | Unknown:
    """A regular file's bytes. Pipes, devices and folders are not opened: reading them could never end."""
    try:
        if not path.is_file():
            what = "is not a regular file" if path.exists() else "there is no such file"
            return Unknown(reason=f"{path}: {what}")
        size = path.stat().st_size
        if size > limit:
            return Unknown(reason=f"{path}: {size:,} bytes, expected at most {limit:,}")
        return path.read_bytes()
    except OSError as error:
        return Unknown(reason=f"{path}: cannot be read: {error.strerror}")


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


def _read_slowly(path: Path, data: bytes) -> Any | Unknown:
    """The standard library's parser, which is what the model's loader uses: it accepts NaN and it names the line."""
    try:
        text = data.decode("utf-8")
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is text that nothing can write
        return value
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        return Unknown(reason=f"{path}: holds {half!r}, half of a surrogate pair; save the file as UTF-8 anew")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Unknown(reason=f"{path}:{line}: byte {error.start} is not UTF-8; save the file as UTF-8")
    except json.JSONDecodeError as error:
        return Unknown(reason=f"{path}:{error.lineno}: broken JSON: {error.msg} (column {error.colno})")
    except (RecursionError, ValueError) as error:
        return Unknown(reason=f"{path}: cannot be read as JSON: {error}")


def _name(value: object) -> str:
    return {list: "list", str: "string", bool: "boolean", type(None): "null"}.get(type(value), "number")
