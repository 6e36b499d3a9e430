"""The key of this user on this machine, and what is signed with it.

A signature says that this user's Preflight on this machine wrote a file, and that nobody edited it since. It holds off
mistakes and other people's files, not code that runs with the user's own rights: such code can read the key.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import secrets
import stat
import sys
from pathlib import Path

from preflight_ocr.harness.state import find_state_directory

__all__ = ["find_key", "is_signed", "sign"]

_BYTES = 32


def sign(data: bytes) -> str:
    """HMAC-SHA256 of `data` under this user's key, in hex."""
    return hmac.new(_load_key(find_key()), data, hashlib.sha256).hexdigest()


def is_signed(data: bytes, signature: str) -> bool:
    return hmac.compare_digest(sign(data).encode(), signature.encode("utf-8", errors="replace"))


def find_key() -> Path:
    """Where the key lies: `signing.key` in the state folder."""
    return find_state_directory() / "signing.key"


def _load_key(path: Path) -> bytes:
    """The key at `path`, made on first use. Where none can be kept, one for this process alone."""
    try:
        key = _read_key(path)
        return _make_key(path) if key is None else key
    except OSError:
        return _make_passing_key()


def _read_key(path: Path) -> bytes | None:
    """None where there is no usable key; one that others could read is no secret any more, and is replaced."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        exposed = sys.platform != "win32" and (found.st_mode & 0o077 or found.st_uid != os.geteuid())
        if not stat.S_ISREG(found.st_mode) or exposed:
            return None
        key = file.read(_BYTES + 1)
    return key if len(key) == _BYTES else None


def _make_key(path: Path) -> bytes:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    key = secrets.token_bytes(_BYTES)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
        if _read_key(path) is None:  # another run may have made one meanwhile, which then counts
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return _read_key(path) or key


@functools.cache
def _make_passing_key() -> bytes:
    return secrets.token_bytes(_BYTES)
