"""What a large tensor held is handed to the next one of its kind, and not to the system."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["give_freed_memory_back", "keep_freed_memory"]

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # glibc's malloc.h
_DEFAULTS = {_MMAP_MAX: 2**16, _TRIM_THRESHOLD: 2**17, _TOP_PAD: 2**17}


def keep_freed_memory() -> bool:
    """From here on glibc keeps what is freed. Returns whether there is a glibc that does so.

    The system would clear each page again before it gives it back: in a check of A4 pages that was a fifth of all time. What
    is kept may lie in pieces that are too small for the next tensor, so this is not for tensors of gigabytes.
    """
    return _set({_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**30, _TOP_PAD: 2**26})


def give_freed_memory_back() -> bool:
    """From here on large tensors are the system's again, as glibc has it by itself."""
    return _set(_DEFAULTS)


def _set(options: dict[int, int]) -> bool:
    if sys.platform != "linux":
        return False
    try:
        set_option = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl
        return False
    return all(set_option(name, value) for name, value in options.items())
