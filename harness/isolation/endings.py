"""What may be used, and how a call into foreign code can end."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

__all__ = ["ChildRaised", "Died", "Ending", "Frame", "Limits", "Returned", "SandboxUnavailable"]


class Limits(Struct, frozen=True, kw_only=True):
    """What one child may use.

    seconds: wall time of the call itself, counted from when the child is ready to make it.
    memory_bytes: memory of the child and its own children, on top of what the preloaded modules hold.
    output_bytes: how much of stdout and stderr together is kept (beginning and end); the rest is read and dropped,
        and the child goes on, because a chatty progress bar is not a fault.
    file_bytes: the size of the largest file it may write.
    result_bytes: the size of the encoded value it may return.
    processes: how many processes it may have at a time, itself included.
    """

    seconds: float = 120.0
    memory_bytes: int = 8 * 2**30
    output_bytes: int = 2**20
    file_bytes: int = 4 * 2**30
    result_bytes: int = 32 * 2**20
    processes: int = 256


class Frame(Struct, frozen=True, kw_only=True):
    """One line of a traceback: `code` is the source line without its indentation, or empty when it cannot be read."""

    file: str
    line: int
    function: str
    code: str


class Returned(Struct, frozen=True, kw_only=True):
    """The target returned `value`: None, bool, int, float, str, bytes, list and dict, whatever it was in the child.

    touched: absolute paths of the files that it opened to read or imported, without what is installed.
    """

    value: Any
    output: str
    seconds: float
    touched: tuple[str, ...] = ()


class ChildRaised(Struct, frozen=True, kw_only=True):
    """The target raised; nothing of the exception but text comes back.

    type: `ValueError` for a built-in exception, `package.module.Name` for any other.
    frames: the outermost first, none of ours; a deep recursion keeps both its ends.
    """

    type: str
    message: str
    traceback: str
    frames: tuple[Frame, ...]
    output: str
    seconds: float
    touched: tuple[str, ...] = ()


class Died(Struct, frozen=True, kw_only=True):
    """The child ended without an answer that can be used; `reason` completes the sentence "the child ..."."""

    reason: str
    output: str
    seconds: float


Ending = Returned | ChildRaised | Died


class SandboxUnavailable(Exception):
    """No child can be started at all, for example because importing torch itself crashes. `str()` says why."""
