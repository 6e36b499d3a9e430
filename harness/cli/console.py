"""The console as every command finds it: streams that may be closed, full or of another code page, signals, and what is said
where we fail ourselves."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, TextIO

import click

from preflight_ocr.harness.foreign.text import clean, clean_line
from preflight_ocr.harness.launched import find_place

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

INTERRUPTED = 130  # 128 and the number of SIGINT, as shells count
ENDING = ("SIGTERM", "SIGHUP")


def prepare() -> None:
    """Make the streams and the signals such that a command ends with the exit code it has earned."""
    _open_closed_streams()
    sys.stdout = _survive(sys.stdout)
    from preflight_ocr.reports.terminal import survive_code_pages

    survive_code_pages()
    sys.excepthook = log_failure
    listen()


def listen() -> None:
    """Let SIGTERM and a lost terminal end us as an exception does, so that children and temporary folders go as well."""
    for name in ENDING:
        number = getattr(signal, name, None)
        if number is None:
            continue
        with contextlib.suppress(ValueError):  # not in the main thread: whoever runs us there listens himself
            if signal.getsignal(number) is signal.SIG_DFL:  # else nohup, or somebody who embeds us
                signal.signal(number, _end)


@contextlib.contextmanager
def end_by_signal() -> Iterator[None]:
    """Ctrl-C ends with one line and exit code 130, never with a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("\nInterrupted.", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None


def log_failure(
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
    what: str = "Preflight itself failed",
    plea: str = "; please report it",
) -> None:
    """The interpreter's last resort: a short message, and the traceback in a file. Python then exits with 1."""
    if issubclass(kind, KeyboardInterrupt):
        click.echo("\nInterrupted.", err=True)
        return
    place = find_place()
    of = f"-rank{place.rank}" if place.size > 1 else ""
    name = f"preflight-{time.strftime('%Y%m%d-%H%M%S')}{of}.log"
    text = "".join(traceback.format_exception(kind, error, trace))
    for folder in (Path("logs"), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError:
            continue
        where = f"The traceback is in {folder / name}{plea}."
        break
    else:
        where = f"The traceback could not be written anywhere:\n{clean(text)}"
    said = f"{place.name}: " if place.size > 1 else ""
    click.echo(f"{said}{what}: {kind.__name__}: {clean_line(str(error))}\n{where}", err=True)


def calm_libraries() -> None:
    """No bars and no chatter of libraries that are imported from here on, where nobody watches. What the user set stays."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    warnings.simplefilter("ignore", FutureWarning)


class _Surviving(io.RawIOBase):
    """A file descriptor whose loss costs the reader the text, and us nothing: the exit code is still to be given."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._lost = descriptor, False

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data)
        if not self._lost:
            try:
                return os.write(self._descriptor, view)
            except BlockingIOError:
                return 0
            except OSError as error:
                self._lost = True
                if error.errno != errno.EPIPE:  # `| head` has read what it wanted
                    click.echo(f"standard output cannot be written: {error.strerror}", err=True)
        return len(view)


def _survive(stream: TextIO) -> TextIO:
    """The stream on a descriptor that may break; the stream itself where it is not the process's own standard output."""
    try:
        unbuffered = isinstance(stream.buffer, io.FileIO)  # `python -u`
        raw = stream.buffer if unbuffered else getattr(stream.buffer, "raw", None)
        if type(stream) is not io.TextIOWrapper or type(raw) is not io.FileIO or stream.fileno() != 1:
            return stream
    except (OSError, ValueError, AttributeError):
        return stream
    stream.flush()
    encoding, by_line = stream.encoding, unbuffered or os.isatty(1)
    return io.TextIOWrapper(
        io.BufferedWriter(_Surviving(1)), encoding=encoding, errors="replace", line_buffering=by_line
    )


def _open_closed_streams() -> None:
    """Where one of the three was closed, the next file that is opened would get its number, and be written to."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # whoever asks twice does not want to wait
    raise SystemExit(128 + number)
