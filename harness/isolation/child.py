"""What runs in a child: it sets its own limits, makes the one call, and says what came of it.

This is the door to foreign code: whatever is raised behind it, SystemExit too, is caught here and told as text.
"""

# ruff: noqa: BLE001

from __future__ import annotations

import contextlib
import ctypes
import importlib
import linecache
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import msgspec

from preflight_ocr.harness.isolation.closing import CLOSED_BY_US, Closed, close, explain_refusal
from preflight_ocr.harness.isolation.endings import Frame, Limits
from preflight_ocr.harness.isolation.processes import die_with_parent
from preflight_ocr.harness.isolation.touched import listen
from preflight_ocr.harness.isolation.wire import (
    Call,
    Failure,
    Started,
    Unsendable,
    Value,
    encode,
    read_frame,
    write_frame,
)

__all__ = ["ANSWER_LOST", "CHANNEL_LOST", "import_modules", "live", "start"]

CHANNEL_LOST = 113
"""The exit status of a child whose way back to us was closed by the code it ran."""

ANSWER_LOST = 114
"""The exit status of a child in which not even the telling of what happened worked any more."""

OPEN = Closed(writing="it was asked for", network="it was asked for", shared_memory="it was asked for")

_FAILED_TO_START = 115
_CACHES = ("TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "TORCH_EXTENSIONS_DIR", "CUDA_CACHE_PATH", "NUMBA_CACHE_DIR")
_CALL_BYTES = 2**32
_TEXT = 64 * 2**10
_LINE = 1000
_FRAMES = 100
_PACKAGE = str(Path(__file__).parent)


def start(*, result: int, parent: int) -> NoReturn:
    """The first call in an interpreter of its own: the call to make comes through stdin, whose end is our end."""
    try:
        if sys.platform == "win32":
            import msvcrt

            result = msvcrt.open_osfhandle(result, os.O_WRONLY)
        calls = os.dup(0)
        _replace_stdin()
        die_with_parent(parent)
    except BaseException:
        traceback.print_exc()
        os._exit(_FAILED_TO_START)
    live(calls=calls, result=result, alone=True)


def live(*, calls: int, result: int, alone: bool) -> NoReturn:
    """Read the one call from descriptor `calls`, make it, write what came of it to descriptor `result`, and end.

    A child that is `alone` has no warm parent to end its family for it, should we be killed.
    """
    try:
        payload = read_frame(calls, _CALL_BYTES)
        if payload is None:  # we were given up before we began
            os._exit(_FAILED_TO_START)
        call = msgspec.msgpack.decode(payload, type=Call)
        if alone:
            _end_with(calls)
        else:
            os.close(calls)
        send = _open_channel(result)
        _open_streams()
        sys.path[:0] = call.path
        _move_in(call.scratch)
        closed = OPEN if call.writable is None else close((call.scratch, *call.writable), network=call.network)
        preloaded = import_modules(call.preload)
        resident = _restrict(call.limits)
        _calm_torch()
        encoder, leave = encode, os._exit
        touched = listen()
        flushers = (sys.stdout.flush, sys.stderr.flush, _flush_c)
        send(encoder(Started(preloaded=preloaded, resident_bytes=resident, closed=closed)))
    except BaseException:
        traceback.print_exc()
        os._exit(_FAILED_TO_START)

    # From here on the code we run may have replaced any builtin and any attribute of any module: what is needed
    # afterwards was fetched before.
    try:
        answer = _make_call(call, encoder, touched)
    except BaseException:
        leave(ANSWER_LOST)
    try:
        for flush in flushers:
            try:
                flush()
            except Exception:  # closed, or replaced by something that cannot be flushed
                continue
        send(answer)
    except BaseException:
        leave(CHANNEL_LOST)
    leave(0)


def import_modules(modules: Iterable[str], *, announce: Callable[[str], None] | None = None) -> dict[str, str]:
    """Import each, and say for each `"ok"` or the error: one that is missing or broken does not keep the others out."""
    seen: dict[str, str] = {}
    for name in modules:
        if announce is not None:
            announce(name)
        try:
            importlib.import_module(name)
        except Exception as error:
            seen[name] = f"{type(error).__name__}: {error}"
        else:
            seen[name] = "ok"
    return seen


def _make_call(
    call: Call, encoder: Callable[[Value | Failure | Unsendable], bytes], touched: Callable[[], tuple[str, ...]]
) -> bytes:
    try:
        module, _, attribute = call.target.partition(":")
        arguments = msgspec.msgpack.decode(call.arguments)
        value = attrgetter(attribute)(importlib.import_module(module))(**arguments)
    except BaseException as error:  # SystemExit and KeyboardInterrupt are the target's own as well
        return encoder(_describe(error, touched()))
    try:
        return encoder(Value(value=value, touched=touched()))
    except BaseException as error:
        return encoder(Unsendable(reason=f"{error}"))


# ---- what it raised, as text


def _describe(error: BaseException, touched: tuple[str, ...]) -> Failure:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = _clean(str(error))
    except BaseException as second:
        message = f"(its message cannot be read: str() of it raised {type(second).__name__})"
    try:
        trace = _skip_ours(error.__traceback__)
        text = "".join(traceback.TracebackException(kind, error, trace, compact=True).format())
        frames = tuple(_read_frames(trace))
    except BaseException as second:
        text = f"{name}: {message}\n(its traceback cannot be read: {type(second).__name__})"
        frames = ()
    if said := _explain(error):
        name, message = CLOSED_BY_US, f"{said} ({name}: {message})"
    return Failure(kind=_clean(name, _LINE), message=message, traceback=_clean(text), frames=frames, touched=touched)


def _explain(error: BaseException) -> str:
    try:
        return explain_refusal(error)
    except BaseException:  # foreign code may have replaced whatever is called there
        return ""


def _skip_ours(trace: TracebackType | None) -> TracebackType | None:
    first = trace
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith((_PACKAGE, "<frozen importlib", importlib.__file__)):
            return trace
        trace = trace.tb_next
    return None if first is None else trace


def _read_frames(trace: TracebackType | None) -> list[Frame]:
    steps = list(traceback.walk_tb(trace))
    if len(steps) > _FRAMES:
        steps = steps[: _FRAMES // 2] + steps[-_FRAMES // 2 :]
    frames = []
    for frame, line in steps:
        file = frame.f_code.co_filename
        code = linecache.getline(file, line, frame.f_globals).strip()
        function = _clean(frame.f_code.co_qualname, _LINE)
        frames.append(Frame(file=_clean(file, _LINE), line=line or 0, function=function, code=_clean(code, _LINE)))
    return frames


def _clean(text: str, most: int = _TEXT) -> str:
    """Cut the middle out of a text too long to send, and replace what UTF-8 cannot hold (lone surrogates)."""
    if len(text) > most:
        text = f"{text[: most // 2]}\n[... {len(text) - most} characters left out ...]\n{text[-most // 2 :]}"
    return text.encode("utf-8", errors="replace").decode("utf-8")


# ---- limits and channels


def _open_channel(result: int) -> Callable[[bytes], None]:
    """Put the way back where no loop over the first descriptors meets it, and return what sends through it."""
    if sys.platform != "win32":
        import fcntl

        with contextlib.suppress(OSError):
            far = fcntl.fcntl(result, fcntl.F_DUPFD_CLOEXEC, 300 + os.urandom(1)[0])
            os.close(result)
            result = far
    pid, identity = os.getpid(), os.fstat(result)
    get_pid, get_status, leave, same, write = os.getpid, os.fstat, os._exit, os.path.samestat, write_frame

    def send(payload: bytes) -> None:
        if get_pid() != pid:
            leave(0)  # the target forked, and this is the copy: the answer is not its to give
        if not same(get_status(result), identity):
            raise OSError("the descriptor belongs to another file now")
        write(result, payload)

    return send


def _replace_stdin() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _open_streams() -> None:
    """Write through at once: what was printed just before a crash is what the reader needs most."""
    sys.stdin = os.fdopen(0, encoding="utf-8", errors="replace", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)


def _flush_c() -> None:
    if sys.platform != "win32":
        ctypes.CDLL(None).fflush(None)


def _move_in(scratch: str) -> None:
    """Have what libraries keep for a while go into the child's own folder, which is cleared when it ends."""
    for name in ("TMPDIR", "TMP", "TEMP"):
        os.environ[name] = scratch
    tempfile.tempdir = None  # it is asked for again
    for name in _CACHES:
        os.environ.setdefault(name, str(Path(scratch) / name.lower()))


def _restrict(limits: Limits) -> int:
    """Set the limits that the system keeps for us; returns what memory this process holds now, 0 where unknown."""
    if sys.platform == "win32":
        return 0
    import resource

    wanted = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: limits.file_bytes}
    resident = 0
    if sys.platform == "linux":
        size, resident = (
            int(pages) * os.sysconf("SC_PAGE_SIZE")
            for pages in Path("/proc/self/statm").read_text(encoding="ascii").split()[:2]
        )
        if not _sees_accelerator():
            wanted[resource.RLIMIT_AS] = size + limits.memory_bytes
        with contextlib.suppress(OSError):  # should the machine run short after all, this process goes first
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    for kind, most in wanted.items():
        with contextlib.suppress(ValueError, OSError):  # a lower limit is in force already
            resource.setrlimit(kind, (most, most))
    return resident


def _sees_accelerator() -> bool:
    """CUDA reserves more addresses than any machine has memory, so that a limit on addresses would forbid it."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))


def _calm_torch() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def _end_with(lifeline: int) -> None:
    """Have this process, and if possible its group, end as soon as the other end of the pipe `lifeline` is closed."""
    if sys.platform == "linux":
        import fcntl

        # The kernel then sends a signal to the whole group whenever something happens to the pipe, and all that still
        # can happen is its end. No thread of ours has to be alive for that.
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    else:
        threading.Thread(target=_wait_for_end, args=(lifeline,), daemon=True).start()


def _wait_for_end(lifeline: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(lifeline, 1):
            pass
    if sys.platform != "win32":
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
