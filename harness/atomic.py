"""Files that are either the old one or the whole new one, never half of it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

__all__ = ["write_bytes", "write_text"]


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in UTF-8, with the line ends as they are in `text` on every platform.

    Raises OSError as `write_bytes` does.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step; missing parent folders are made, a link is followed and kept.

    Raises OSError when the folder cannot be written; the old file is then untouched and no temporary file is left.
    """
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
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
