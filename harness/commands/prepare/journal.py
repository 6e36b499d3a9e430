"""What became of each unit, a line each, from which an ended run goes on. A line is whole or not there."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from preflight_ocr.harness.commands.prepare.asked import PrepareError
from preflight_ocr.harness.commands.prepare.outcomes import Outcome

_FLUSH = 2.0  # seconds between two times that the disk is waited for


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What the outcomes depend on."""

    asked: str
    source: str


class Journal:
    """`done` units are in it: numbers 0 to done - 1, in their order."""

    def __init__(self, path: Path, head: Head) -> None:
        """Raises PrepareError for the journal of another run, OSError where it cannot be written."""
        self._decode = msgspec.json.Decoder(tuple[int, list[Outcome]]).decode
        self._path = path
        self._flushed = time.monotonic()
        self.done = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        try:
            self._take_up(head)
        except BaseException:
            self._file.close()
            raise

    def _take_up(self, head: Head) -> None:
        self._file.seek(0)
        first = self._file.readline()
        wanted = msgspec.json.encode(head) + b"\n"
        if not first.endswith(b"\n"):
            self._file.truncate(0)
            self._file.write(wanted)
            self._file.flush()
            return
        if first != wanted:
            said = "was begun with other settings, or SOURCE has changed since; give --fresh to begin again"
            raise PrepareError(f"{self._path.parent.parent}: {said}")
        place = self._file.tell()
        for line in iter(self._file.readline, b""):
            if not line.endswith(b"\n"):  # the run was ended while it wrote
                break
            place += len(line)
            self.done += 1
        self._file.truncate(place)

    def add(self, results: Sequence[tuple[int, Sequence[Outcome]]]) -> None:
        """Write them down; they follow those that are there."""
        self._file.seek(0, os.SEEK_END)
        self._file.write(b"".join(msgspec.json.encode(result) + b"\n" for result in results))
        self._file.flush()
        self.done += len(results)
        if time.monotonic() - self._flushed > _FLUSH:
            os.fsync(self._file.fileno())
            self._flushed = time.monotonic()

    def read(self) -> Iterator[Outcome]:
        """Every outcome, in the order of the units, one after the other."""
        with self._path.open("rb") as file:
            file.readline()
            for line in file:
                yield from self._decode(line)[1]

    def close(self) -> None:
        self._file.close()
