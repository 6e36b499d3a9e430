"""Digests of whole files, kept so that the same weights are not read twice.

sha256, because it is the fastest that the standard library has on a processor with SHA instructions, and large files are
hashed side by side. A digest is kept with the file's size, times and inode; the time of the last change of the inode is
among them, because no program can set it back.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from preflight_ocr.harness import atomic
from preflight_ocr.harness.foreign.files import is_file
from preflight_ocr.harness.state import find_cache_directory
from preflight_ocr.harness.verdict.signing import is_signed, sign

__all__ = ["GONE", "digest_files", "digest_text"]

GONE = "gone"
"""In place of a digest, where there is no regular file, or none that can be read."""

_KEPT_FROM = 1 << 20
_MOST_KEPT = 2000
_SETTLED_NS = 2 * 10**9
_CHUNK = 1 << 20

Stamp = tuple[int, int, int, int, int]
"""Device, inode, size, mtime in ns, ctime in ns."""


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The cache file: `entries` is msgpack of path -> (stamp, digest), signed as a whole."""

    entries: bytes
    signature: str


def digest_text(entries: Iterable[tuple[str, str]]) -> str:
    """sha256 over pairs of name and value."""
    whole = hashlib.sha256()
    for name, value in entries:
        for text in (name, value):
            data = text.encode("utf-8", errors="surrogateescape")
            whole.update(len(data).to_bytes(8, "big") + data)
    return whole.hexdigest()


def digest_files(paths: Iterable[Path]) -> dict[Path, str]:
    """Path -> "size sha256", GONE where there is no regular file that can be read. No pipe or device is opened."""
    paths = tuple(dict.fromkeys(paths))
    kept = _read_kept()
    found: dict[Path, str] = {}
    fresh: dict[str, tuple[Stamp, str]] = {}
    missing: list[tuple[Path, Stamp]] = []
    for path in paths:
        stamp = _stamp(path)
        known = kept.get(os.fspath(path)) if stamp is not None and stamp[2] >= _KEPT_FROM else None
        if stamp is None:
            found[path] = GONE
        elif known is not None and known[0] == stamp:
            found[path] = known[1]
        else:
            missing.append((path, stamp))
    with ThreadPoolExecutor(max_workers=max(1, min(4, os.cpu_count() or 1))) as pool:
        for (path, stamp), digest in zip(missing, pool.map(_digest_file, [p for p, _ in missing]), strict=True):
            found[path] = digest
            settled = max(stamp[3:]) < time.time_ns() - _SETTLED_NS  # a later change has another time, for certain
            if settled and digest != GONE and stamp[2] >= _KEPT_FROM and _stamp(path) == stamp:
                fresh[os.fspath(path)] = (stamp, digest)
    if fresh:
        _keep({**kept, **fresh})
    return {path: found[path] for path in paths}


def _stamp(path: Path) -> Stamp | None:
    try:
        seen = path.stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(seen.st_mode):
        return None
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


def _digest_file(path: Path) -> str:
    whole, size = hashlib.sha256(), 0
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                whole.update(chunk)
                size += len(chunk)
    except OSError:
        return GONE
    return f"{size} {whole.hexdigest()}"


def _find_cache() -> Path:
    return find_cache_directory() / "digests-1.msgpack"


def _read_kept() -> Mapping[str, tuple[Stamp, str]]:
    """What was kept; nothing where the file is damaged or was not written by this user's Preflight."""
    path = _find_cache()
    try:
        if not is_file(path):  # a pipe in its place would never end
            return {}
        kept = msgspec.msgpack.decode(path.read_bytes(), type=_Kept)
        if not is_signed(kept.entries, kept.signature):
            return {}
        return msgspec.msgpack.decode(kept.entries, type=dict[str, tuple[Stamp, str]])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _keep(entries: Mapping[str, tuple[Stamp, str]]) -> None:
    """A cache that cannot be written costs time only, so that is no error."""
    named = [(n, e) for n, e in entries.items() if n.encode("utf-8", errors="replace").decode() == n]
    newest = dict(named[-_MOST_KEPT:])  # a name that is no UTF-8 has no form in the file
    data = msgspec.msgpack.encode(newest)
    try:
        atomic.write_bytes(_find_cache(), msgspec.msgpack.encode(_Kept(entries=data, signature=sign(data))))
    except OSError:
        return
