"""One run for one output folder: two would write each other's checkpoints. The lock dies with the process that holds it."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.launched import find_place

LOG = logging.getLogger("preflight_ocr.harness.training")
PLACE = Path("logs") / "run.lock"
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


class FolderInUse(UserError):
    """Another run writes into the output folder."""


@contextmanager
def hold(
    output_dir: Path, *, place: Path = PLACE, advice: str = "wait for it, or set training.output_dir"
) -> Iterator[None]:
    """Keep other runs out of a folder. Raises FolderInUse at once where one is in it.

    Of the processes that one launcher started together, the first holds it for all. A file system without locks is said,
    and the run goes on.
    """
    if not find_place().is_first:
        yield
        return
    path = output_dir / place
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            _lock(file.fileno())
        except OSError as error:
            if error.errno in _TAKEN:
                file.seek(1)
                owner = file.read(20).decode("ascii", "replace").strip()
                said = f" (process {owner})" if owner.isdecimal() else ""
                message = f"{output_dir}: another run{said} writes there now; {advice}"
                raise FolderInUse(message) from None
            LOG.warning("%s cannot be locked (%s): see that no other run uses it", path, error.strerror)
        file.truncate(0)
        file.write(f" {os.getpid()}".encode("ascii"))  # the first byte is what Windows locks
        file.flush()
        yield


def _lock(descriptor: int) -> None:
    """The kernel frees it when the process ends, however it ends; a child that was forked does not have it."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
