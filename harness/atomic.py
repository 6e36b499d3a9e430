"""Files that are either the old one or the whole new one, never half of it."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import TextIO

__all__ = ["STANDARD_OUTPUT", "free_output", "reserve_output", "write_bytes", "write_text"]

STANDARD_OUTPUT = Path("-")
"""What is written to this path goes to standard output."""

_reserved: list[TextIO] = []


def reserve_output(stream: TextIO) -> bool:
    """Keep standard output for one file that is written to `-`. False where it is taken already."""
    if _reserved:
        return False
    _reserved.append(stream)
    return True


def free_output() -> None:
    """Give it back."""
    _reserved.clear()


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in UTF-8, with the line ends as they are in `text` on every platform.

    Raises OSError as `write_bytes` does.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace `path` by `data` in one step; missing parent folders are made, a link is followed and kept.

    Without `durable` the system writes it when it likes, which is many times faster for many files.

    Raises OSError when the folder cannot be written; the old file is then untouched and no temporary file is left.
    """
    if path == STANDARD_OUTPUT:
        _write_out(data)
        return
    path = path.resolve()
    if path.exists() and not path.is_file():
        # /dev/stdout, a named pipe or a directory (which raises): there is nothing that could be replaced in one step.
        path.write_bytes(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        # Not tempfile: its files are readable by their owner alone, and a report is meant to be read by others too.
        with temporary.open("xb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write_out(data: bytes) -> None:
    """To standard output, as bytes: no code page and no line end of a console's has a say."""
    stream = _reserved[0] if _reserved else sys.stdout
    stream.flush()
    stream.buffer.write(data)
    stream.buffer.flush()
