"""The warm parent: a process of our own that imports the heavy modules once and is forked for each child (Linux).

It stays single-threaded and runs no foreign code and no torch operation, since only such a process may be forked
safely. Supervision is not its work: it forks, kills when told to, and says who ended.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import traceback
from typing import NoReturn

import msgspec

from preflight_ocr.harness.isolation.child import import_modules, live
from preflight_ocr.harness.isolation.processes import adopt_orphans, die_with_parent, family, kill_family
from preflight_ocr.harness.isolation.wire import Ended, Fork, Forked, Importing, Kill, Ready, encode

__all__ = ["PACKET_BYTES", "serve"]

PACKET_BYTES = 2**16
_decode = msgspec.msgpack.Decoder(Fork | Kill).decode


def serve(*, control: int, preload: tuple[str, ...], seconds: int) -> NoReturn:
    """Import `preload`, then serve the socket `control` until its other end is closed.

    The kernel ends an import that takes over `seconds`, even when nobody is left to notice.
    """
    with socket.socket(fileno=control) as line:
        signal.alarm(seconds)
        adopt_orphans()
        preloaded = import_modules(preload, announce=lambda name: line.sendall(encode(Importing(module=name))))
        signal.alarm(0)
        _Parent(line).serve(preloaded)
    os._exit(0)


class _Parent:
    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._jobs: dict[int, int] = {}  # pid -> job
        self._alarm, self._bell = socket.socketpair()

    def serve(self, preloaded: dict[str, str]) -> None:
        for end in (self._alarm, self._bell):
            end.setblocking(False)
        signal.set_wakeup_fd(self._bell.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        # What is frozen is never touched by a child's garbage collection, so that its pages stay shared.
        gc.collect()
        gc.freeze()
        self._send(Ready(preloaded=preloaded))
        while True:
            readable, _, _ = select.select([self._line, self._alarm], [], [])
            if self._alarm in readable:
                self._alarm.recv(4096)
                self._reap()
            if self._line in readable and not self._obey():
                break
        for pid in self._jobs:
            kill_family(pid)
        self._jobs.clear()
        self._sweep()

    def _send(self, message: Ready | Forked | Ended) -> None:
        # The next read finds the end of the line, and ends everything in order.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._line.sendall(encode(message))

    def _obey(self) -> bool:
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._line, PACKET_BYTES, 3, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return False
        if not packet:
            return False
        order = _decode(packet)
        if isinstance(order, Kill):
            for pid in [pid for pid, job in self._jobs.items() if job == order.job]:
                kill_family(pid)
            return True
        try:
            self._fork(order.job, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _fork(self, job: int, descriptors: list[int]) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._send(Ended(job=job, status=None, reason=f"could not be started: {error}"))
            return
        if pid == 0:
            self._become_child(parent, descriptors)
        self._jobs[pid] = job
        self._send(Forked(job=job, pid=pid))

    def _become_child(self, parent: int, descriptors: list[int]) -> NoReturn:
        try:
            calls, output, result = descriptors
            os.setsid()
            die_with_parent(parent)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for source, standard in ((nothing, 0), (output, 1), (output, 2)):
                os.dup2(source, standard)
            for descriptor in (nothing, output, self._line.fileno(), self._alarm.fileno(), self._bell.fileno()):
                os.close(descriptor)
        except BaseException:  # noqa: BLE001  (a copy of this process must in no case go on as the parent)
            traceback.print_exc(file=sys.__stderr__)
            os._exit(1)
        live(calls=calls, result=result, alone=False)

    def _reap(self) -> None:
        """Bury whoever ended. A child's id stays its own until then, so its family is killed by that id before."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            if found.si_pid in self._jobs:
                kill_family(found.si_pid)
            _, status = os.waitpid(found.si_pid, 0)
            job = self._jobs.pop(found.si_pid, None)
            if job is not None:
                if not self._jobs:
                    self._sweep()
                self._send(Ended(job=job, status=os.waitstatus_to_exitcode(status)))

    def _sweep(self) -> None:
        """With no child left, every process that is still ours got away from one, into a session of its own."""
        while orphans := family(os.getpid()) - {os.getpid()}:
            for pid in orphans:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return
