"""JSON that somebody else wrote: parsed in bounded memory, with the line at fault where it is broken."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from preflight_ocr.harness.foreign.files import LARGEST, open_file, read_bytes

_CHUNK = 2**20
_AT_ONCE = 4 * 2**20  # bytes of a list that is parsed whole, which is faster and costs at most some 200 MB
_LONGEST_ROW = 16 * 2**20  # characters
_SPACE = re.compile(r"[ \t\n\r]*")
_BOM = codecs.BOM_UTF8
_HALF = re.compile("[\ud800-\udfff]")


class BrokenJson(ValueError):
    """The file is no JSON, or none that can be worked with. The message says where, and what was expected."""


def read_json(path: Path, *, limit: int = LARGEST) -> Any:
    """The parsed file: UTF-8 with or without a byte order mark; NaN and Infinity allowed, as in transformers.

    Raises OSError as `open_file` does, and BrokenJson.
    """
    return parse_json(read_bytes(path, limit=limit), str(path))


def parse_json(data: bytes, name: str, *, line: int = 1) -> Any:
    """The parsed text, which begins on a line of the file `name`. Raises BrokenJson, which begins with that name."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _parse_slowly(data.removeprefix(_BOM), name, line)
    except RecursionError:
        raise BrokenJson(f"{name}: the brackets are nested too deep to be read; this is not a real JSON file") from None


def iterate_list(path: Path) -> Iterator[Any]:
    """The entries of a JSON list, one after the other, never all of them at once where the file is large.

    Raises OSError as `open_file` does, and BrokenJson, whichever entries were given before.
    """
    with open_file(path) as file:
        head = file.read(_AT_ONCE)
        if len(head) < _AT_ONCE:
            document = parse_json(head, str(path))
            if not isinstance(document, list):
                raise BrokenJson(f"{path}: seen a JSON {name_kind(document)}, expected a list")
            yield from document
            return
        file.seek(0)
        yield from _Stream(file, str(path)).iterate()


def name_kind(value: object) -> str:
    """What JSON calls a value."""
    kinds = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(value), "number")


class _Stream:
    """A JSON list in a binary file, of which no more than a few rows are held."""

    def __init__(self, file: Any, name: str) -> None:
        self._file, self._name = file, name
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text, self._place, self._line, self._ended = "", 0, 1, False

    def iterate(self) -> Iterator[Any]:
        if self._skip() != "[":
            raise BrokenJson(f"{self._name}:{self._line}: expected a list, which begins with [")
        self._place += 1
        if self._skip() == "]":
            self._place += 1
        else:
            scan = json.JSONDecoder().raw_decode
            while True:
                yield self._read_one(scan)
                mark = self._skip()
                self._place += 1
                if mark == "]":
                    break
                if mark != ",":
                    raise self._broken("expected , or ] after an entry")
        if self._skip():
            raise self._broken("expected nothing after the list")

    def _read_one(self, scan: Any) -> Any:
        self._skip()
        while True:
            try:
                value, end = scan(self._text, self._place)
                if end < len(self._text) or self._ended:
                    break
            except json.JSONDecodeError as error:
                if self._ended or len(self._text) - self._place > _LONGEST_ROW:
                    raise self._broken(f"broken JSON: {error.msg}", error.pos) from None
            except RecursionError:
                raise self._broken("the brackets are nested too deep to be read") from None
            except ValueError as error:
                raise self._broken(f"cannot be read as JSON: {error}") from None
            self._load()
        if self._text.find("\\ud", self._place, end) >= 0 or self._text.find("\\uD", self._place, end) >= 0:
            _refuse_halves(value, f"{self._name}:{self._line}")
        self._place = end
        return value

    def _skip(self) -> str:
        """Step over white space; the character there, "" at the end of the file."""
        while True:
            self._place = _SPACE.match(self._text, self._place).end()  # type: ignore[union-attr]
            if self._place < len(self._text):
                return self._text[self._place]
            if self._ended:
                return ""
            self._load()

    def _load(self) -> None:
        """Drop what was read and take more, the more the longer the entry is that has not ended yet."""
        self._line += self._text.count("\n", 0, self._place)
        rest = self._text[self._place :]
        data = self._file.read(max(_CHUNK, len(rest)))
        try:
            self._text, self._place = rest + self._decoder.decode(data, final=not data), 0
        except UnicodeDecodeError as error:
            line = self._line + rest.count("\n") + error.object.count(b"\n", 0, error.start)
            raise BrokenJson(f"{self._name}:{line}: a byte is not UTF-8; save the file as UTF-8") from None
        self._ended = not data

    def _broken(self, said: str, place: int | None = None) -> BrokenJson:
        line = self._line + self._text.count("\n", 0, self._place if place is None else place)
        return BrokenJson(f"{self._name}:{line}: {said}")


def _parse_slowly(data: bytes, name: str, first: int) -> Any:
    """The standard library's parser, which is what the model's loader uses: it accepts NaN and it names the line."""
    try:
        value = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + first
        raise BrokenJson(f"{name}:{line}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        raise BrokenJson(
            f"{name}:{error.lineno + first - 1}: broken JSON: {error.msg} (column {error.colno})"
        ) from None
    except RecursionError:
        raise BrokenJson(f"{name}: the brackets are nested too deep to be read; this is not a real JSON file") from None
    except ValueError as error:
        raise BrokenJson(f"{name}: cannot be read as JSON: {error}") from None
    _refuse_halves(value, name)
    return value


def _refuse_halves(value: Any, name: str) -> None:
    """Half of a surrogate pair is text that nothing can write."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (RecursionError, ValueError) as error:
        raise BrokenJson(f"{name}: cannot be worked with: {error}") from None
    if half := _HALF.search(text):
        raise BrokenJson(f"{name}: holds {half[0]!r}, half of a surrogate pair; save the file as UTF-8 anew")
