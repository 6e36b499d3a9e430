"""A disk that is full, told as that, whatever the library that wrote to it made of it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from preflight_ocr.harness.cli.options import Refusal

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) if hasattr(errno, "EDQUOT") else (errno.ENOSPC, errno.EFBIG)
_RUST = re.compile(r"\(os error (\d+)\)")  # safetensors and tokenizers raise errors of their own
_TORCH = re.compile(
    r"PytorchStreamWriter failed writing|unexpected pos \d+ vs \d+"
)  # torch.save, which names no reason


class RefuseFullDisk:
    """A block in which files are written. An error that means that there is no room for them becomes a Refusal.

    `place` is where they are written; `advise` says what to do, and is asked only then. Any other error goes on.
    """

    def __init__(self, place: Path, advise: Callable[[], str]) -> None:
        self._place, self._advise = place, advise

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and (said := tell_full(error, self._place)) is not None:
            raise Refusal(said + self._advise()) from None


def tell_full(error: BaseException, place: Path) -> str | None:
    """The file, or else `place`, and what the system said of it, where the error, or one that it came from, is that nothing
    more can be written; None for any other error."""
    for one in _walk(error):
        if isinstance(one, OSError) and one.errno is not None and one.errno in _FULL:
            return f"{one.filename or place}: {os.strerror(one.errno)}"
        found = _RUST.search(str(one))
        if found is not None and int(found[1]) in _FULL:
            return f"{place}: {os.strerror(int(found[1]))}"
        if _TORCH.search(str(one)):
            return f"{place}: a file could not be written to its end; the disk, or the part of it that you may use, is full"
    return None


def _walk(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it came from."""
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:
        seen.append(following)
        following = following.__cause__ or following.__context__
    return iter(seen)
