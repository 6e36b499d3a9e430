"""Pages that were prepared before, kept on disk as bytes, so that a second epoch neither decodes nor resizes.

A page is found by its content: the name of its file here is a digest of the image file's bytes, of every number of the
preparation and of the code that prepares. Whatever of these changes, another file is looked for, and the old one is the
first to go when room is needed. Normalisation comes after, so nothing of it is kept.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import PIL
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from preflight_ocr.harness import atomic, families
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.foreign.files import read_bytes
from preflight_ocr.harness.training import images

if TYPE_CHECKING:
    from os import stat_result

LOG = logging.getLogger("preflight_ocr.harness.training")

_CHECKSUM = "crc32"
_LARGEST = 2**30  # bytes of one entry
_OURS = re.compile(r"[0-9a-f]{64}\.pixels\.safetensors")


class CacheError(UserError):
    """The directory of data.cache_dir cannot be used."""


class PixelCache:
    """uint8 tensors by the content of an image file. Picklable; any number of processes may use one directory.

    Files are written whole or not at all, with a checksum; one that cannot be read, or is not what was written, is made
    anew. The directory is held to `limit`
    bytes, beyond which it goes for a moment by no more than a page for each process that is writing. For a new page
    those make room that no run has used since this one began, the longest unused first; what this run has used stays,
    so that a cache too small for all rows still serves some of them instead of being rewritten in every epoch.
    """

    def __init__(self, directory: Path, *, limit: int, recipe: msgspec.Struct) -> None:
        """`recipe` holds every number that the tensors depend on besides the image. Raises CacheError."""
        self.directory, self.limit, self.begun = directory, limit, time.time()
        self._recipe = hash_recipe(recipe)
        self._has_said: set[str] = set()
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CacheError(
                f"data.cache_dir {directory} cannot be made ({error}); name a directory, or none"
            ) from error

    def load(self, content: bytes) -> dict[str, torch.Tensor] | None:
        """What was kept for a file of this content; None for nothing."""
        path = self._place(content)
        try:
            if path.stat().st_mtime < self.begun:
                path.touch()
            packed = read_bytes(path, limit=max(self.limit, _LARGEST))
            # Never made, made room with, cut short by a full disk; or whole, and not what was written.
            if not packed or _find_checksum(packed) != _sum(packed):
                return None
            found: dict[str, torch.Tensor] = load(packed)
        except (OSError, SafetensorError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return found

    def save(self, content: bytes, views: Mapping[str, torch.Tensor]) -> None:
        """Keep it where there is room; a directory that cannot be written is said once and costs nothing else."""
        kept = {name: view.contiguous() for name, view in views.items()}
        packed = save(kept, metadata={_CHECKSUM: _sum(save(kept))})
        place = self._place(content)
        try:
            if place.exists() and not place.is_file():
                self._say(f"{place} is no file; the page is prepared each time it is used")
            elif self._make_room(len(packed)):
                atomic.write_bytes(place, packed)
            else:
                self._say(f"{self.directory} holds data.cache_gb; the other pages are prepared each time they are used")
        except OSError as error:
            self._say(f"{self.directory} cannot be written ({error}); pages are prepared each time they are used")

    def _place(self, content: bytes) -> Path:
        return self.directory / f"{hashlib.sha256(self._recipe + content).hexdigest()}.pixels.safetensors"

    def _make_room(self, size: int) -> bool:
        kept = sorted(self._list_files(), key=lambda file: file[1].st_mtime)
        excess = sum(status.st_size for _, status in kept) + size - self.limit
        for path, status in kept:
            if excess <= 0 or status.st_mtime >= self.begun:
                break
            path.unlink(missing_ok=True)
            excess -= status.st_size
        return excess <= 0

    def _list_files(self) -> Iterator[tuple[Path, stat_result]]:
        """Only files of ours are counted and ever removed."""
        for path in self.directory.iterdir():
            if _OURS.fullmatch(path.name):
                try:
                    yield path, path.stat()
                except FileNotFoundError:  # another process made room
                    continue

    def _say(self, message: str) -> None:
        if message not in self._has_said:
            self._has_said.add(message)
            LOG.warning("%s", message)


def _sum(packed: bytes) -> str:
    """A checksum of the tensors, their names, types and shapes, with or without metadata beside them."""
    end = 8 + int.from_bytes(packed[:8], "little")
    entries = msgspec.json.decode(packed[8:end], type=dict[str, msgspec.Raw])
    said = b"".join(name.encode() + bytes(entry) for name, entry in sorted(entries.items()) if name != "__metadata__")
    return f"{zlib.crc32(memoryview(packed)[end:], zlib.crc32(said)):08x}"


def _find_checksum(packed: bytes) -> str:
    end = 8 + int.from_bytes(packed[:8], "little")
    header = msgspec.json.decode(packed[8:end], type=_Header)
    return header.metadata.get(_CHECKSUM, "")


class _Header(msgspec.Struct):
    metadata: dict[str, str] = msgspec.field(name="__metadata__", default_factory=dict)


def hash_recipe(recipe: msgspec.Struct) -> bytes:
    """32 bytes for the numbers of a preparation, the code that prepares and the libraries that decode and resize."""
    kind = type(recipe)
    said = [f"{kind.__module__}.{kind.__qualname__}".encode(), msgspec.json.encode(recipe), _hash_code()]
    said += [PIL.__version__.encode(), torch.__version__.encode()]
    return hashlib.sha256(b"".join(hashlib.sha256(one).digest() for one in said)).digest()


@cache
def _hash_code() -> bytes:
    """Every source file that has a say in pixels: that a number was not raised after a change cannot happen."""
    sources = [Path(images.__file__), *sorted(Path(families.__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(hashlib.sha256(source.read_bytes()).digest() for source in sources)).digest()
