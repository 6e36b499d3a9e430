"""A file of JSON lines beside an output, from which an ended run goes on: what is in it is not read again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from preflight_ocr.harness.config.errors import UserError

__all__ = ["Entry", "Journal", "JournalError", "Stamp", "stamp_file"]

Kept = TypeVar("Kept", bound=msgspec.Struct)
Stamp = list[int]
"""How a thing was when it was read; another stamp, and it is read again."""

_FORM = 2  # of the lines; a journal of another form is not gone on with


class JournalError(UserError):
    """The journal beside the output cannot be gone on with."""


class Entry(NamedTuple, Generic[Kept]):
    """One thing that was read: its name, how it was then, and what was read."""

    name: str
    stamp: Stamp
    kept: Kept


class Journal(Generic[Kept]):
    """Each line is whole or not there. The first says what the readings depend on, each other holds an entry."""

    def __init__(self, path: Path, asked: msgspec.Struct, kind: type[Kept], *, depends: str) -> None:
        """`depends` names what `asked` holds, for the user. Raises JournalError for the journal of another run, OSError
        where the folder cannot be written."""
        self.path = path
        form: object = tuple[str, Stamp, kind]  # type: ignore[valid-type]
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(form)
        self._places: dict[str, tuple[int, Stamp]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        self._file.seek(0)
        head, expected = self._file.readline(), msgspec.json.encode((_FORM, asked)) + b"\n"
        if not head.endswith(b"\n"):
            self._file.truncate(0)
            self._write(expected)
            return
        if head != expected:
            self._file.close()
            raise JournalError(f"{path}: was begun with another {depends}; give the same, or delete it")
        place = self._file.tell()
        for line in iter(self._file.readline, b""):
            if not line.endswith(b"\n"):  # the run was ended while it wrote
                break
            try:
                self._note(line, place)
            except msgspec.MsgspecError as error:
                self._file.close()
                raise JournalError(f"{path}: holds a line that nobody wrote here ({error}); delete it") from None
            place += len(line)
        self._file.truncate(place)

    def has(self, name: str, stamp: Stamp) -> bool:
        """Whether the thing was read before, and is as it was."""
        found = self._places.get(name)
        return found is not None and found[1] == stamp

    def add(self, entries: Sequence[Entry[Kept]]) -> None:
        """Write them down; the system has them when this returns."""
        lines = [msgspec.json.encode(entry) + b"\n" for entry in entries]
        place = self._file.seek(0, 2)
        self._write(b"".join(lines))
        for line in lines:
            self._note(line, place)
            place += len(line)

    def find(self, name: str) -> Kept:
        """What was read. Raises KeyError for what is not in the journal."""
        self._file.seek(self._places[name][0])
        return self._decode(self._file.readline()).kept

    def close(self) -> None:
        self._file.close()

    def end(self) -> None:
        """The output is written: the journal has done its work."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _decode(self, line: bytes) -> Entry[Kept]:
        return Entry(*self._decoder.decode(line))

    def _note(self, line: bytes, place: int) -> None:
        entry = self._decode(line)
        self._places[entry.name] = (place, entry.stamp)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()


def stamp_file(path: Path) -> Stamp:
    """Size in bytes and time of the last change in ns; empty where there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]
