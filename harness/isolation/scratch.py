"""Temporary folders that belong to a running process: they go with it, or are cleared by the next one.

The owner holds a lock on a file in the folder. The system lets go of it when the owner ends, however that comes about, so
that a folder whose lock can be had is nobody's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["clear_abandoned", "own_folder", "remove"]

_PREFIX = "preflight-"
_LOCK = ".owner"


@contextlib.contextmanager
def own_folder(name: str = "run") -> Iterator[Path]:
    """A new folder in the system's temporary one, removed at the end. What ended runs have left there is cleared first."""
    clear_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{name}-"))
    draft = folder / f"{_LOCK}.new"
    try:
        with draft.open("xb") as lock:
            _lock(lock.fileno())
            if sys.platform != "win32":  # there an open file keeps its name
                draft.rename(folder / _LOCK)  # under this name it was never seen without its lock
            try:
                yield folder
            finally:
                remove(folder, keep=folder / _LOCK)
    finally:
        remove(folder)


def clear_abandoned() -> None:
    """Remove the folders whose owner has ended. A folder of another user, or a link, is left alone."""
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and _is_mine(entry):
                _clear(Path(entry.path))


def _clear(folder: Path) -> None:
    lock = folder / _LOCK
    try:
        descriptor = os.open(lock, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return
    try:
        _lock(descriptor)
        remove(folder, keep=lock)
    except OSError:
        return  # its owner runs
    finally:
        os.close(descriptor)
    remove(folder)


def _is_mine(entry: os.DirEntry[str]) -> bool:
    with contextlib.suppress(OSError):
        if entry.is_dir(follow_symlinks=False):
            return sys.platform == "win32" or entry.stat(follow_symlinks=False).st_uid == os.geteuid()
    return False


def _lock(descriptor: int) -> None:
    """Raises OSError where another process holds it."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def remove(folder: Path, *, keep: Path | None = None) -> None:
    """Remove a tree whatever foreign code did to its modes; with `keep`, all of it but that file. Never raises OSError."""
    if keep is None:
        shutil.rmtree(folder, onerror=_insist)
        return
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == keep.name:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, onerror=_insist)
            else:
                with contextlib.suppress(OSError):
                    Path(entry.path).unlink()


def _insist(function: Callable[..., Any], path: str, error: Any) -> None:
    """Give the owner its rights back and try once more; a link is never followed."""
    place = Path(path)
    with contextlib.suppress(OSError):
        for each in (place.parent, place):
            if stat.S_ISDIR(each.lstat().st_mode):
                each.chmod(0o700)
        if stat.S_ISDIR(place.lstat().st_mode):
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink()
