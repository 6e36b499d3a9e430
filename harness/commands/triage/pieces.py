"""A pasted text or a log of any size, taken apart into exceptions with their tracebacks and into plain lines.

The text comes from anywhere: a terminal with colours and progress bars, a notebook, a log whose every line begins with a
time or a rank, a file written by another code page. It is read once and never held in memory as a whole.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Iterator
from typing import IO

import msgspec

_CHUNK = 1 << 16
_LONGEST = 20_000  # characters of one line; what is longer goes on as another line
_MOST_FRAMES = 200  # the innermost ones: endless recursion prints thousands
_MOST_MESSAGE_LINES = 400  # PEFT prints whole modules into its messages
_MOST_MESSAGE = 50_000  # characters of one message
_MOST_STRAY_LINES = 20  # lines of other processes between those of a traceback

_ENDING = re.compile(r"\r\n|\n|\r(?!\Z)")
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_LEVEL = r"(?:DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL)"
_PREFIX = re.compile(
    r"(?:\[(?:rank|default)\d+\]:[ ]?"
    r"|[\[(]?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?[\])]?(?:[ \t]|$)"
    rf"|(?:[-|][ ][\w.]+[ ])?[-|\[]?[ ]?{_LEVEL}[ ]?[-|\]:]+(?:[ ][\w.]+[ ][-|:])?(?:[ ]|$)"
    r"|>[ ](?!>))"
)
_BOX = re.compile(r"^[│┃] ?(.*?)\s*[│┃]?$")

_HEADER = "Traceback (most recent call last)"
_MARKERS = (
    "During handling of the above exception, another exception occurred",
    "The above exception was the direct cause of the following exception",
)
_FRAMES = (
    re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in (?P<function>.+))?$'),
    re.compile(r"^File (?P<file>\S.*?):(?P<line>\d+), in (?P<function>[\w<>.]+)"),
    re.compile(r"^(?P<file>(?:Cell|Input) In ?\[\d+\])(?:, line (?P<line>\d+))?(?:, in (?P<function>[\w<>.]+))?"),
    re.compile(r"^(?P<file>\S+\.py|<ipython-input\S+>)(?P<line>) in (?P<function>[\w<>.]+)"),
    re.compile(r"^(?P<file>\S+\.py):(?P<line>\d+) in (?P<function>[\w<>.]+)"),
)
_POINTED = re.compile(r"^(?:-+>|❱)\s*\d+\s*[│|]?(?P<code>.*)$")
_CARETS = re.compile(r"^[\s^~]*$")
_ENDED = re.compile(r"^(?P<kind>(?:[A-Za-z_]\w*\.)*[A-Z]\w*)(?::(?:\s(?P<message>.*))?)?$")
_ALONE = re.compile(
    r"(?:^|[\s:|>(])(?P<kind>(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt))(?::\s(?P<message>.*)|:?$)"
)
_PROGRESS = re.compile(r"\d+%\|")


class Frame(msgspec.Struct, frozen=True):
    """One step of a traceback. `code` is what was printed of it, empty where nothing was."""

    file: str
    line: int
    function: str
    code: str


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One exception. `line` is where its text begins; failures of one `chain` were raised while handling one another.

    `kind` is empty where the text ends before the exception itself.
    """

    kind: str
    message: str
    frames: tuple[Frame, ...]
    line: int
    chain: int

    @property
    def text(self) -> str:
        """`TypeError: message`."""
        return f"{self.kind}: {self.message}" if self.message else self.kind

    @property
    def stack(self) -> str:
        """One line for each frame, the innermost last: `file, in function: code`."""
        return "\n".join(f"{f.file}, in {f.function}: {f.code}" for f in self.frames)


class Said(msgspec.Struct, frozen=True):
    """A line that belongs to no exception, without colours."""

    text: str
    line: int


Piece = Failure | Said


def read_pieces(stream: IO[bytes]) -> Iterator[Piece]:
    """Everything in the text in its order, except empty lines. A cause stands before what was raised while handling it."""
    reader = _Reader()
    for number, raw in _list_lines(stream):
        yield from reader.take(number, raw)
    yield from reader.finish()


def _list_lines(stream: IO[bytes]) -> Iterator[tuple[int, str]]:
    """Numbered as an editor numbers them: a carriage return alone (a progress bar) begins a line but no number."""
    number, rest = 1, ""
    for text in _decode(stream):
        rest += text
        start = 0
        for ending in _ENDING.finditer(rest):
            yield number, rest[start : ending.start()]
            number += "\n" in ending[0]
            start = ending.end()
        rest = rest[start:]
        while len(rest) > _LONGEST:
            yield number, rest[:_LONGEST]
            rest = rest[_LONGEST:]
    if rest:
        yield number, rest.rstrip("\r")


def _decode(stream: IO[bytes]) -> Iterator[str]:
    """UTF-8, or what a byte order mark says (PowerShell writes UTF-16); what cannot be decoded becomes a mark."""
    chunk = stream.read(_CHUNK)
    marks = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"), (codecs.BOM_UTF8, "utf-8-sig"))
    encoding = next((name for mark, name in marks if chunk.startswith(mark)), "utf-8")
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    while chunk:
        yield decoder.decode(chunk)
        chunk = stream.read(_CHUNK)
    yield decoder.decode(b"", final=True)


class _Reader:
    """Where in a traceback the text is just now."""

    def __init__(self) -> None:
        self._chain = 0
        self._linked = False
        self._start = 0
        self._indent = 0
        self._frames: deque[Frame] | None = None  # None outside of a traceback
        self._stray = 0
        self._ended: Failure | None = None  # an exception whose message may go on
        self._more: list[str] = []

    def take(self, number: int, raw: str) -> Iterator[Piece]:
        """One more line."""
        line, was_prefixed = _clean(raw)
        if _HEADER in line:
            yield from self._open(number, line)
        elif self._frames is not None:
            yield from self._follow(number, line)
        elif self._ended is not None and self._goes_on(line, was_prefixed):
            self._more.append(line)
        else:
            yield from self._close()
            yield from self._say(number, line)

    def finish(self) -> Iterator[Piece]:
        """The text is over."""
        if self._frames:
            yield self._fail("", "")
        yield from self._close()

    def _open(self, number: int, line: str) -> Iterator[Piece]:
        if "Original Traceback" in line and self._ended is not None:
            self._ended = None  # a worker's exception, raised again by the main process: only the original counts
            self._linked = True
        yield from self._close()
        if not self._linked:
            self._chain += 1
        self._linked, self._stray = False, 0
        self._start, self._indent = number, len(line) - len(line.lstrip())
        self._frames = deque(maxlen=_MOST_FRAMES)

    def _follow(self, number: int, line: str) -> Iterator[Piece]:
        """One more line of a traceback whose exception has not come yet."""
        assert self._frames is not None
        if frame := _read_frame(line):
            self._frames.append(frame)
            return
        ended = _ENDED.match(line.strip())
        if ended and len(line) - len(line.lstrip()) <= self._indent and not re.fullmatch(_LEVEL, ended["kind"]):
            self._ended = self._fail(ended["kind"], ended["message"] or "")
            self._more = []
        elif code := _read_code(line, self._indent):
            self._add_code(code)
        elif line and not line[0].isspace():
            self._stray += 1
            yield Said(line, number)
            if self._stray > _MOST_STRAY_LINES:
                yield self._fail("", "")

    def _add_code(self, code: str) -> None:
        assert self._frames is not None
        if self._frames:
            last = self._frames[-1]
            joined = f"{last.code} {code}".strip()[:2000]
            self._frames[-1] = msgspec.structs.replace(last, code=joined)

    def _fail(self, kind: str, message: str) -> Failure:
        frames = tuple(self._frames or ())
        self._frames = None
        return Failure(kind=kind, message=message, frames=frames, line=self._start, chain=self._chain)

    def _goes_on(self, line: str, was_prefixed: bool) -> bool:
        """Whether this line still belongs to the last exception's message."""
        assert self._ended is not None
        if not line.strip() or len(self._more) >= _MOST_MESSAGE_LINES or _PROGRESS.search(line):
            return False
        if not self._ended.frames:
            return line[0].isspace() or line[0] in ")]}"
        return not was_prefixed and not line.startswith("{") and not _ALONE.search(line)

    def _close(self) -> Iterator[Piece]:
        if self._ended is not None:
            message = "\n".join([self._ended.message, *self._more])[:_MOST_MESSAGE]
            yield msgspec.structs.replace(self._ended, message=message)
        self._ended, self._more = None, []

    def _say(self, number: int, line: str) -> Iterator[Piece]:
        if any(marker in line for marker in _MARKERS):
            self._linked = True
        elif alone := _ALONE.search(line):
            self._chain += not self._linked
            self._linked, self._start = False, number
            self._ended = self._fail(alone["kind"], alone["message"] or "")
        elif line.strip():
            yield Said(line.strip(), number)


def _clean(raw: str) -> tuple[str, bool]:
    """The line without colours, times, levels, ranks and frames drawn around it; and whether it had such a beginning."""
    line = _COLOUR.sub("", raw).replace("\x00", "").rstrip()
    start = 0
    while (prefix := _PREFIX.match(line, start)) and prefix.end() > start:
        start = prefix.end()
    line = line[start:]
    box = _BOX.match(line)
    return (box[1] if box else line), start > 0


def _read_frame(line: str) -> Frame | None:
    for pattern in _FRAMES:
        if found := pattern.match(line):
            return Frame(found["file"], int(found["line"] or 0), found["function"] or "", "")
    return None


def _read_code(line: str, indent: int) -> str:
    """The source in a traceback's line: what the interpreter prints indented, what a notebook points at."""
    if pointed := _POINTED.match(line):
        return pointed["code"].strip()
    is_listing = re.match(r"^\s+\d+[\s│|]", line)  # a notebook prints the neighbours of the line as well
    if not line[: indent + 1].isspace() or is_listing or _CARETS.match(line):
        return ""
    return line.strip()
