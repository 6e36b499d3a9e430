"""What travels between us, the warm parent and a child. Never pickle: a hostile child must not run code in us."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from pathlib import PurePath

import msgspec
from msgspec import Struct

from preflight_ocr.harness.isolation.closing import Closed
from preflight_ocr.harness.isolation.endings import Frame, Limits

__all__ = [
    "Call",
    "Ended",
    "Failure",
    "Fork",
    "Forked",
    "Importing",
    "Kill",
    "Oversized",
    "Ready",
    "Started",
    "Unsendable",
    "Value",
    "encode",
    "read_frame",
    "write_frame",
]

_LENGTH = struct.Struct(">Q")
_CHUNK = 2**16


# ---- to a child, and back


class Call(Struct, frozen=True, kw_only=True):
    """What a child has to do. `preload` is for a child in a new interpreter; a forked one has it already.

    scratch: its own folder for whatever is temporary.
    writable: the folders that it may write below besides; None where nothing is to be closed.
    network: whether the network is left open.
    """

    target: str
    arguments: msgspec.Raw
    path: tuple[str, ...]
    preload: tuple[str, ...]
    limits: Limits
    scratch: str
    writable: tuple[str, ...] | None
    network: bool


class Started(Struct, frozen=True, kw_only=True, tag=True):
    """The child is ready and makes the call now, holding `resident_bytes` already."""

    preloaded: dict[str, str]
    resident_bytes: int
    closed: Closed


class Value(Struct, frozen=True, kw_only=True, tag=True):
    """`touched` are the files that the target opened to read or imported, without what is installed."""

    value: object
    touched: tuple[str, ...]


class Failure(Struct, frozen=True, kw_only=True, tag=True):
    kind: str
    message: str
    traceback: str
    frames: tuple[Frame, ...]
    touched: tuple[str, ...]


class Unsendable(Struct, frozen=True, kw_only=True, tag=True):
    """The target returned something that has no form outside its process."""

    reason: str


# ---- to the warm parent, and back


class Fork(Struct, frozen=True, kw_only=True, tag=True):
    """Start a child; three descriptors come along: the call to read, the output and the result to write."""

    job: int


class Kill(Struct, frozen=True, kw_only=True, tag=True):
    job: int


class Importing(Struct, frozen=True, kw_only=True, tag=True):
    module: str


class Ready(Struct, frozen=True, kw_only=True, tag=True):
    preloaded: dict[str, str]


class Forked(Struct, frozen=True, kw_only=True, tag=True):
    job: int
    pid: int


class Ended(Struct, frozen=True, kw_only=True, tag=True):
    """`status` is an exit status, or minus the number of the signal that ended it; None when it never began."""

    job: int
    status: int | None
    reason: str = ""


# ---- bytes


class Oversized(Exception):
    """The frame that was announced is larger than allowed."""


def _encode_path(value: object) -> str:
    if isinstance(value, PurePath):
        return str(value)
    kind = type(value)
    raise NotImplementedError(f"a {kind.__module__}.{kind.__qualname__} cannot be sent between processes")


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_path)


def encode(message: Struct | Mapping[str, object]) -> bytes:
    """Encode; what has no form raises NotImplementedError, TypeError, OverflowError, ValueError or RecursionError."""
    return _encoder.encode(message)


def write_frame(
    descriptor: int,
    payload: bytes,
    # Bound here, since the code that ran in a child may have replaced them everywhere else by the time of its answer.
    _write: Callable[[int, memoryview], int] = os.write,
    _measure: Callable[[bytes], int] = len,
    _view: type[memoryview] = memoryview,
) -> None:
    """Write one message to a pipe; raises BrokenPipeError when nobody reads it any more."""
    rest = _view(_LENGTH.pack(_measure(payload)) + payload)
    while rest:
        rest = rest[_write(descriptor, rest) :]


def read_frame(descriptor: int, limit: int) -> bytes | None:
    """Read one message from a pipe, None at its end (a message cut short counts as none).

    Raises Oversized before reading a message of more than `limit` bytes.
    """
    head = _read(descriptor, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > limit:
        raise Oversized(length)
    return _read(descriptor, length)


def _read(descriptor: int, length: int) -> bytes | None:
    data = bytearray()
    while len(data) < length:
        chunk = os.read(descriptor, min(_CHUNK, length - len(data)))
        if not chunk:
            return None
        data += chunk
    return bytes(data)
