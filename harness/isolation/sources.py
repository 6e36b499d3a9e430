"""Where children come from: forked by the warm parent, or spawned as a new interpreter each."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Protocol

import msgspec

from preflight_ocr.harness.isolation.capture import Capture
from preflight_ocr.harness.isolation.endings import SandboxUnavailable
from preflight_ocr.harness.isolation.processes import bury_family, kill_family, tell_status
from preflight_ocr.harness.isolation.warm import PACKET_BYTES
from preflight_ocr.harness.isolation.wire import (
    Ended,
    Failure,
    Fork,
    Forked,
    Importing,
    Kill,
    Oversized,
    Ready,
    Started,
    Unsendable,
    Value,
    encode,
)

__all__ = ["START_SECONDS", "Event", "Process", "Source", "Spawner", "WarmParent"]

START_SECONDS = 180
_OUTPUT_BYTES = 2**14
_decode = msgspec.msgpack.Decoder(Importing | Ready | Forked | Ended).decode

Event = Started | Value | Failure | Unsendable | Ended | Oversized | None
"""What happens to a child; None is an answer that cannot be understood."""


class Process(Protocol):
    """A child that was begun. `pid` is None as long as it is not known; `above` are the processes between it and us."""

    pid: int | None
    above: tuple[int, ...]

    def kill(self) -> None:
        """Tell it and its family to end; an Ended event follows."""

    def abandon(self) -> None:
        """It did not end although it was told to: do what is left to do."""


class Source(Protocol):
    def begin(self, calls: int, output: int, result: int, events: queue.SimpleQueue[Event]) -> Process:
        """Start a child with these three descriptors, which the caller closes on his side.

        Raises SandboxUnavailable when none can be started.
        """


def _build_command(entry: str) -> list[str]:
    # The same modules as here: a child that found another transformers than the caller would answer for the wrong one.
    # `-P` and the missing '' keep files of the current directory from being taken for modules.
    path = [place for place in sys.path if place]
    return [sys.executable, "-P", "-c", f"import sys; sys.path[:] = {path!r}; {entry}"]


# ---- forked


class WarmParent:
    """Our end of the warm process of `harness/isolation/warm`."""

    def __init__(self, preload: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self._preloaded: dict[str, str] | None = None
        self._importing = ""
        self._failure: str | None = None
        self._closed = False
        self._settled = threading.Event()
        self._children: dict[int, _ForkedProcess] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._line, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        output_end, output = os.pipe()
        entry = (
            "from preflight_ocr.harness.isolation.warm import serve; "
            f"serve(control={far.fileno()}, preload={preload!r}, seconds={START_SECONDS})"
        )
        try:
            self._process = subprocess.Popen(
                _build_command(entry),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(far.fileno(),),
                env=dict(environment),
                start_new_session=True,  # Ctrl-C in a terminal is for us alone; we end it in order
            )
        finally:
            far.close()
            os.close(output)
        self._capture = Capture(output_end, _OUTPUT_BYTES)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def replaceable(self) -> bool:
        """It served, and it is gone: another one will serve as well."""
        return self._preloaded is not None and self._failure is not None

    def wait(self) -> dict[str, str]:
        """What was preloaded, once all of it is; raises SandboxUnavailable when it does not come up."""
        # The process itself is ended by an alarm after START_SECONDS, so that this wait has an end.
        while not self._settled.wait(0.2):
            pass
        if self._preloaded is None:
            raise SandboxUnavailable(self._failure or "the sandbox was closed")
        return self._preloaded

    def begin(self, calls: int, output: int, result: int, events: queue.SimpleQueue[Event]) -> Process:
        self.wait()
        with self._lock:
            number = next(self._numbers)
            process = _ForkedProcess(self, number, events)
            if self._failure is not None:  # another child has killed it in this moment
                process.lose(self._failure)
                return process
            self._children[number] = process
        with contextlib.suppress(OSError):  # it is gone: the listener notices, and says so to all
            socket.send_fds(self._line, [encode(Fork(job=number))], [calls, output, result])
        return process

    def kill_job(self, number: int) -> None:
        with contextlib.suppress(OSError):
            self._line.send(encode(Kill(job=number)))

    def destroy(self) -> None:
        """It does not answer (a child may have stopped it): kill it, which ends its children too."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def wait_for_burial(self) -> None:
        """After this, whoever needs a warm process knows that it needs a new one."""
        self._listener.join(3.0)

    def close(self) -> None:
        """End it and its children."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        if self._preloaded is None:
            self.destroy()
        try:
            self._process.wait(3.0)
        except subprocess.TimeoutExpired:
            self.destroy()
            self._process.wait()
        self.wait_for_burial()
        self._line.close()

    def _listen(self) -> None:
        while packet := self._receive():
            match _decode(packet):
                case Importing(module=module):
                    self._importing = module
                case Ready(preloaded=preloaded):
                    self._preloaded = preloaded
                    self._settled.set()
                case Forked(job=job, pid=pid):
                    self._children[job].pid = pid
                case Ended(job=job) as ended:
                    self._children.pop(job).end(ended)
        self._bury()

    def _receive(self) -> bytes:
        try:
            return self._line.recv(PACKET_BYTES)
        except OSError:
            return b""

    def _bury(self) -> None:
        try:
            status = self._process.wait(3.0)
        except subprocess.TimeoutExpired:
            self.destroy()
            status = self._process.wait()
        if self._closed:
            self._failure = "the sandbox was closed"
        elif self._preloaded is None:
            self._capture.join(1.0)
            during = f" while importing {self._importing}" if self._importing else ""
            self._failure = (
                f"the warm process {tell_status(status)}{during}; try that import by itself to see why. "
                f"It printed: {self._capture.read().strip() or 'nothing'}"
            )
        else:
            self._failure = f"lost the warm process it was forked from, which {tell_status(status)}"
        with self._lock:
            children = list(self._children.values())
        self._settled.set()
        for child in children:
            child.lose(self._failure)


class _ForkedProcess:
    def __init__(self, warm: WarmParent, number: int, events: queue.SimpleQueue[Event]) -> None:
        self.pid: int | None = None
        self.above: tuple[int, ...] = (warm.pid,)
        self._warm = warm
        self._number = number
        self._events = events

    def kill(self) -> None:
        self._warm.kill_job(self._number)

    def abandon(self) -> None:
        self._warm.destroy()
        self._warm.wait_for_burial()

    def end(self, ended: Ended) -> None:
        self.pid = None
        self._events.put(ended)

    def lose(self, reason: str) -> None:
        if self.pid is not None:  # the kernel has killed the child itself, yet not what it had started
            bury_family(self.pid, itself=True)
        self._events.put(Ended(job=self._number, status=None, reason=reason))


# ---- spawned


class Spawner:
    """Starts each child in an interpreter of its own: slower by the imports, possible everywhere."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    def begin(self, calls: int, output: int, result: int, events: queue.SimpleQueue[Event]) -> Process:
        try:
            process = self._open(calls, output, result)
        except OSError as error:
            raise SandboxUnavailable(f"no interpreter can be started: {error}") from None
        return _SpawnedProcess(process, events)

    def _open(self, calls: int, output: int, result: int) -> subprocess.Popen[bytes]:
        entry = "from preflight_ocr.harness.isolation.child import start; start(result={}, parent={})"
        if sys.platform == "win32":
            import msvcrt

            handle = msvcrt.get_osfhandle(result)
            os.set_handle_inheritable(handle, True)
            return subprocess.Popen(
                _build_command(entry.format(handle, os.getpid())),
                stdin=calls,
                stdout=output,
                stderr=output,
                env=self._environment,
                startupinfo=subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]}),
                creationflags=subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW,
            )
        return subprocess.Popen(
            _build_command(entry.format(result, os.getpid())),
            stdin=calls,
            stdout=output,
            stderr=output,
            env=self._environment,
            pass_fds=(result,),
            start_new_session=True,
        )


class _SpawnedProcess:
    def __init__(self, process: subprocess.Popen[bytes], events: queue.SimpleQueue[Event]) -> None:
        self.pid: int | None = process.pid
        self.above: tuple[int, ...] = ()
        self._process = process
        self._events = events
        threading.Thread(target=self._wait, daemon=True).start()

    def kill(self) -> None:
        if self._process.returncode is None:
            kill_family(self._process.pid)

    def abandon(self) -> None:
        self._process.kill()

    def _wait(self) -> None:
        if sys.platform != "win32":
            # Until it is waited for, its id cannot be another's: the moment to end what it leaves behind.
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            bury_family(self._process.pid, itself=False)
        status = self._process.wait()
        self.pid = None
        self._events.put(Ended(job=0, status=status))
