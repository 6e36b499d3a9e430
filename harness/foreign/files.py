"""The one way to open a file that somebody else wrote: regular files only, and never more of one than was asked for."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

LARGEST = 256 * 2**20
"""Bytes of a file that is read whole, where the caller names no other limit."""

_CHUNK = 2**20

_KINDS = (
    (stat.S_ISDIR, "is a folder, expected a file"),
    (stat.S_ISFIFO, "is a pipe, expected a file"),
    (stat.S_ISSOCK, "is a socket, expected a file"),
    (stat.S_ISCHR, "is a device, expected a file"),
    (stat.S_ISBLK, "is a device, expected a file"),
)
_FLAGS = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)  # without waiting: a pipe put in the file's place after it was looked at must not hold us


def open_file(path: Path | str, *, limit: int | None = None) -> BinaryIO:
    """A regular file of at most `limit` bytes, open for reading.

    Raises OSError whose `strerror` says what was there instead, for a name that no file can have too.
    """
    try:
        _refuse_other(Path(path).stat(), path, limit)
        descriptor = os.open(path, _FLAGS)
    except ValueError:  # a zero byte, or half of a surrogate pair
        raise OSError(errno.EINVAL, "no file can have this name", os.fspath(path)) from None
    try:
        _refuse_other(os.fstat(descriptor), path, limit)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: Path | str, *, limit: int = LARGEST) -> bytes:
    """The whole content of a regular file of at most `limit` bytes. Raises OSError as `open_file` does."""
    with open_file(path, limit=limit) as file:
        # Room is taken for what is there, and not for what would be allowed.
        chunks = [file.read(min(os.fstat(file.fileno()).st_size, limit) + 1)]
        while (left := limit + 1 - sum(map(len, chunks))) > 0 and (more := file.read(min(_CHUNK, left))):
            chunks.append(more)
        data = b"".join(chunks)
    if len(data) > limit:  # it grew, or it is of the kind whose size is not known beforehand
        raise _too_large(len(data), path, limit)
    return data


def read_text(path: Path | str, *, limit: int = LARGEST) -> str:
    """UTF-8 text, a byte order mark left out. Raises OSError as `open_file` does, and UnicodeDecodeError."""
    return read_bytes(path, limit=limit).decode("utf-8-sig")


def is_there(path: Path) -> bool:
    """Whether there is anything of this name. False for a name that no file can have, or that is too long."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises for a name that is too long


def is_file(path: Path) -> bool:
    """Whether this is a regular file. False for a name that no file can have, or that is too long."""
    return os.path.isfile(path)  # noqa: PTH113 - as above


def is_folder(path: Path) -> bool:
    """Whether this is a folder. False for a name that no folder can have, or that is too long."""
    return os.path.isdir(path)  # noqa: PTH112 - as above


def expand(text: str) -> Path:
    """`~` and `~name` replaced; the text as it stands where there is no such user."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises for an unknown user


def find_working_folder() -> Path:
    """The working directory. Raises OSError with a sentence where it has been deleted."""
    try:
        return Path.cwd()
    except OSError as error:
        raise OSError(error.errno, "the working directory has been deleted; change to another with `cd`", ".") from None


def _refuse_other(status: os.stat_result, path: Path | str, limit: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        said = next((said for is_kind, said in _KINDS if is_kind(status.st_mode)), "is not a regular file")
        code = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
        raise OSError(code, said, os.fspath(path))
    if limit is not None and status.st_size > limit:
        raise _too_large(status.st_size, path, limit)


def _too_large(size: int, path: Path | str, limit: int) -> OSError:
    return OSError(errno.EFBIG, f"{size:,} bytes, expected at most {limit:,}", os.fspath(path))
