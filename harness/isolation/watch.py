"""Watching over one child: its limits, what it says and prints, and how it ended."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time

import msgspec

from preflight_ocr.harness.isolation.child import ANSWER_LOST, CHANNEL_LOST
from preflight_ocr.harness.isolation.closing import Closed
from preflight_ocr.harness.isolation.endings import ChildRaised, Died, Ending, Limits, Returned
from preflight_ocr.harness.isolation.processes import is_halted, measure_usage, tell_status
from preflight_ocr.harness.isolation.sources import START_SECONDS, Event, Process
from preflight_ocr.harness.isolation.touched import TOUCHED_BYTES
from preflight_ocr.harness.isolation.wire import (
    Ended,
    Failure,
    Forked,
    Oversized,
    Started,
    Unsendable,
    Value,
    read_frame,
)

__all__ = ["LEAVE_SECONDS", "Replies", "Watch"]

LEAVE_SECONDS = 5.0
HALT_SECONDS = 2.0
"""How long a process may stand still (SIGSTOP, SIGTSTP, a debugger) before it counts as one that does not come back."""
_POLL_SECONDS = 0.05
_POLLS_PER_CENSUS = 5
_REASON = 2000
_SMALL = 2**20
_decode = msgspec.msgpack.Decoder(Started | Value | Failure | Unsendable).decode


class Watch:
    """Keeps one child within its limits until it has ended, and then knows how."""

    def __init__(
        self, process: Process, limits: Limits, events: queue.SimpleQueue[Event], cancelled: threading.Event
    ) -> None:
        self._process = process
        self._limits = limits
        self._events = events
        self._cancelled = cancelled
        self.preloaded: dict[str, str] = {}
        self.closed: Closed | None = None
        self._halted_since: float | None = None
        self._answer: Value | Failure | Unsendable | None = None
        self._status: int | None = None
        self._reason: str | None = None
        self._ended = False
        self._baseline = 0
        self._begin = time.monotonic()
        self._seconds: float | None = None
        self._started = False
        self._deadline = self._begin + START_SECONDS

    def keep(self) -> None:
        """Return when the child has ended or cannot be ended."""
        polls = 0
        while not self._ended:
            try:
                self._take(self._events.get(timeout=_POLL_SECONDS))
            except queue.Empty:
                polls += 1
                self._check(whole_family=polls % _POLLS_PER_CENSUS == 0)
            if not self._ended and time.monotonic() > self._deadline:
                if self._reason is not None:  # it was told to end, and nothing came of it
                    self._process.abandon()
                    return
                self._stop(self._tell_overdue())
        self._seconds = self._seconds or time.monotonic() - self._begin

    def drain(self) -> None:
        """Take what was still on its way when the child ended."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._take(self._events.get_nowait())

    def tell(self, output: str) -> Ending:
        seconds = self._seconds or time.monotonic() - self._begin
        answer = self._answer
        if isinstance(answer, Value):
            return Returned(value=answer.value, output=output, seconds=seconds, touched=answer.touched)
        if isinstance(answer, Failure):
            return ChildRaised(
                type=answer.kind,
                message=answer.message,
                traceback=answer.traceback,
                frames=answer.frames,
                output=output,
                seconds=seconds,
                touched=answer.touched,
            )
        if isinstance(answer, Unsendable):
            reason = f"returned a value that cannot be sent back: {answer.reason[:_REASON]}"
        else:
            reason = self._reason or self._tell_status()
        return Died(reason=reason, output=output, seconds=seconds)

    def _take(self, event: Event) -> None:
        match event:
            case Started():
                self.preloaded = event.preloaded
                self.closed = event.closed
                self._baseline = event.resident_bytes
                self._started = True
                self._begin = time.monotonic()
                if self._reason is None:
                    self._deadline = self._begin + self._limits.seconds
            case Value() | Failure() | Unsendable():
                if self._answer is None and self._reason is None:
                    self._answer = event
                    self._seconds = time.monotonic() - self._begin
                    self._deadline = time.monotonic() + LEAVE_SECONDS
            case Ended():
                self._ended = True
                self._status = event.status
                if event.reason:
                    self._reason = self._reason or event.reason
            case Oversized():
                self._stop(f"returned more than {_tell_bytes(self._limits.result_bytes)} and was stopped")
            case None:
                self._stop("sent back something that is no result and was stopped")
            case Forked():
                pass

    def _check(self, *, whole_family: bool) -> None:
        if self._reason is not None:
            return
        if self._cancelled.is_set():
            self._stop("was stopped before its end, as asked")
            return
        pid = self._process.pid
        if pid is None or not self._started:
            return
        if self._was_halted(pid):
            self._stop("was halted by a signal, did not go on, and was stopped")
            return
        most = self._baseline + self._limits.memory_bytes
        usage = measure_usage(pid, most, whole_family=whole_family)
        if usage.resident_bytes > most:
            self._stop(f"exceeded {_tell_bytes(self._limits.memory_bytes)} of memory and was stopped")
        elif usage.processes > self._limits.processes:
            self._stop(f"exceeded {self._limits.processes} processes and was stopped")

    def _was_halted(self, pid: int) -> bool:
        """Whether the child, or the warm process above it, has stood still for HALT_SECONDS."""
        if not any(is_halted(each) for each in (pid, *self._process.above)):
            self._halted_since = None
            return False
        self._halted_since = self._halted_since or time.monotonic()
        return time.monotonic() - self._halted_since > HALT_SECONDS

    def _stop(self, reason: str) -> None:
        if self._answer is None:
            self._reason = self._reason or reason
        else:
            self._reason = "answered and did not leave"
        self._deadline = time.monotonic() + LEAVE_SECONDS
        self._process.kill()

    def _tell_overdue(self) -> str:
        if self._started:
            return f"exceeded {self._limits.seconds:g} s and was stopped"
        return f"was not ready after {START_SECONDS} s and was stopped"

    def _tell_status(self) -> str:
        if self._status is None:
            return "ended in an unknown way"
        if self._status == CHANNEL_LOST:
            return "closed the channel that its result travels on, so that no result came back"
        if self._status == ANSWER_LOST:
            return "broke its own interpreter, which could not tell any more what came of the call"
        if self._status >= 0:
            return f"{tell_status(self._status)} without returning"
        return tell_status(self._status)


def _tell_bytes(number: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} bytes"


def _measure(names: tuple[str, ...]) -> int:
    """Bytes that the names take in an answer, their heads included, so that they do not count as the value's own."""
    return len(msgspec.msgpack.encode(names))


class Replies(threading.Thread):
    """Reads what a child sends: Started, one answer, and no word more."""

    def __init__(self, descriptor: int, limit: int, events: queue.SimpleQueue[Event]) -> None:
        super().__init__(daemon=True)
        self._descriptor = descriptor
        self._limit = limit
        self._events = events
        self.start()

    def run(self) -> None:
        with os.fdopen(self._descriptor, "rb", buffering=0):
            for _ in range(2):
                try:
                    payload = read_frame(self._descriptor, max(self._limit, _SMALL) + TOUCHED_BYTES)
                    if payload is None:
                        return
                    reply = _decode(payload)
                    if isinstance(reply, Value) and len(payload) - _measure(reply.touched) > self._limit:
                        raise Oversized(len(payload))
                    self._events.put(reply)
                except Oversized as error:
                    self._events.put(error)
                    return
                except (msgspec.DecodeError, RecursionError, ValueError):
                    self._events.put(None)
                    return
