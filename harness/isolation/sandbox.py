"""Our side: start children, have them watched, and hand over how each one ended."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import secrets
import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec

from preflight_ocr.harness.isolation.capture import Capture
from preflight_ocr.harness.isolation.closing import Closed
from preflight_ocr.harness.isolation.endings import Died, Ending, Limits, SandboxUnavailable
from preflight_ocr.harness.isolation.environment import without_secrets
from preflight_ocr.harness.isolation.processes import MARK, watch_orphans
from preflight_ocr.harness.isolation.scratch import own_folder, remove
from preflight_ocr.harness.isolation.sources import Event, Source, Spawner, WarmParent
from preflight_ocr.harness.isolation.watch import LEAVE_SECONDS, Replies, Watch
from preflight_ocr.harness.isolation.wire import Call, encode, write_frame

__all__ = ["Job", "Sandbox"]

_SINGLE_THREADED = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class Sandbox:
    """Runs foreign calls in children with limits; on Linux they are forked from one warm process.

    Entering starts that process in the background, so that what can be read may be read meanwhile. Leaving ends it and
    every child. Use from any thread. See the package's text for what is and what is not held back.
    """

    def __init__(
        self,
        *,
        preload: Sequence[str] = ("torch", "transformers", "peft"),
        limits: Limits | None = None,
        start_method: Literal["fork", "spawn"] | None = None,
        environment: Mapping[str, str] | None = None,
        path: Sequence[Path] = (),
        named: Collection[str] = (),
        network: bool = False,
        closed: bool = True,
    ) -> None:
        """`environment` is laid over ours, less its secrets; `path` is put before `sys.path`, in the children alone.

        named: variables that the children get although their names say that they hold a secret.
        network: leave the network open. closed: False leaves all open, as on a system that can close nothing.
        """
        can_fork = sys.platform == "linux"
        if start_method == "fork" and not can_fork:
            raise ValueError(f"start_method='fork' needs Linux, this is {sys.platform}: use 'spawn' or leave it out")
        self.start_method = start_method or ("fork" if can_fork else "spawn")
        self._preload = tuple(preload)
        self._limits = limits or Limits()
        offline = {"HF_HUB_OFFLINE": "1"} if closed and not network and can_fork else {}
        mine = without_secrets(os.environ, named=named)
        self._environment = {**mine, **_SINGLE_THREADED, **offline, **(environment or {}), MARK: secrets.token_hex(8)}
        self._network, self._closes = network, closed
        self._stack = contextlib.ExitStack()
        self._folder: Path | None = None
        self._numbers = itertools.count()
        self.closed: Closed | None = None
        self._path = tuple(str(Path(entry).resolve()) for entry in path)
        self._lock = threading.Lock()
        self._warm: WarmParent | None = None
        self._jobs: set[Job] = set()
        self._preloaded: dict[str, str] | None = None
        self._open = False

    def __enter__(self) -> Sandbox:
        self._open = True
        self._folder = self._stack.enter_context(own_folder("children"))
        self._stack.enter_context(watch_orphans(self._environment[MARK]))
        if self.start_method == "fork":
            self._get_warm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._open = False
            jobs, warm, self._warm = tuple(self._jobs), self._warm, None
        for job in jobs:
            job.cancel()
        if warm is not None:
            warm.close()
        for job in jobs:
            job.join(LEAVE_SECONDS)
        self._stack.close()

    @property
    def preloaded(self) -> dict[str, str]:
        """For each preloaded module `"ok"` or why it could not be imported.

        Waits for the warm process, and raises SandboxUnavailable if it does not come up. Under spawn, where each child
        imports for itself, it is empty until one has.
        """
        if self.start_method == "fork":
            return dict(self._get_warm().wait())
        return dict(self._preloaded or {})

    def run(
        self,
        target: str,
        arguments: Mapping[str, object],
        *,
        limits: Limits | None = None,
        writable: Sequence[Path] = (),
    ) -> Ending:
        """Call `target` ("package.module:function") with keyword arguments in a child, and wait for how it ends.

        The arguments travel as built-in values: a path arrives as str, a tuple as list, a struct as dict.
        It may write below the folder that an argument `folder` names, and below those of `writable`.
        Raises SandboxUnavailable when no child can be started; TypeError for an argument that cannot be sent.
        """
        job = self.submit(target, arguments, limits=limits, writable=writable)
        try:
            return job.result()
        except BaseException:  # an impatient user must not leave the child behind
            job.cancel()
            raise

    def submit(
        self,
        target: str,
        arguments: Mapping[str, object],
        *,
        limits: Limits | None = None,
        writable: Sequence[Path] = (),
    ) -> Job:
        """Start the same at once, without waiting. It is for the caller to run no more at a time than cores allow."""
        self._check_open()
        if ":" not in target:
            raise ValueError(f"target {target!r} names no function, expected 'package.module:function'")
        limits = limits or self._limits
        try:
            raw = msgspec.Raw(encode(arguments))
        except NotImplementedError as error:
            raise TypeError(f"arguments for {target}: {error}") from None
        forks = self.start_method == "fork"
        assert self._folder is not None
        scratch = self._folder / str(next(self._numbers))
        scratch.mkdir()
        places = [*writable, *([Path(str(folder))] if (folder := arguments.get("folder")) else [])]
        call = Call(
            target=target,
            arguments=raw,
            path=self._path,
            preload=() if forks else self._preload,
            limits=limits,
            scratch=str(scratch),
            writable=tuple(str(place.absolute()) for place in places) if self._closes else None,
            network=self._network,
        )
        source = self._get_warm() if forks else Spawner(self._environment)
        job = Job(call, source, self._finish)
        with self._lock:
            self._check_open()
            self._jobs.add(job)
            job.start()
        return job

    def _check_open(self) -> None:
        if not self._open:
            raise RuntimeError("the sandbox is closed: use it inside `with Sandbox() as sandbox:`")

    def _finish(self, job: Job, preloaded: dict[str, str], closed: Closed | None) -> None:
        with self._lock:
            self._jobs.discard(job)
            self._preloaded = self._preloaded or preloaded
            self.closed = closed or self.closed
        remove(Path(job.scratch))

    def _get_warm(self) -> WarmParent:
        """A warm process that served and then died (a child may have killed it) is replaced by a new one."""
        with self._lock:
            self._check_open()
            if self._warm is None or self._warm.replaceable:
                self._warm = WarmParent(self._preload, self._environment)
            return self._warm


class Job:
    """One call under way."""

    def __init__(
        self, call: Call, source: Source, finish: Callable[[Job, dict[str, str], Closed | None], None]
    ) -> None:
        self._call = call
        self.scratch = call.scratch
        self._limits = call.limits
        self._source = source
        self._finish = finish
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._done = threading.Event()
        self._ending: Ending | SandboxUnavailable | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def result(self) -> Ending:
        """Wait for the end, which the limit on time bounds; raises SandboxUnavailable if no child could be started."""
        while not self._done.wait(0.2):  # in slices, since Ctrl-C does not interrupt a wait without end on Windows
            pass
        assert self._ending is not None
        if isinstance(self._ending, SandboxUnavailable):
            raise self._ending
        return self._ending

    @property
    def is_done(self) -> bool:
        """Whether the child has ended, so that `result()` returns at once."""
        return self._done.is_set()

    def cancel(self) -> None:
        """Stop the child if it still runs; `result()` is then a Died."""
        self._cancelled.set()

    def _work(self) -> None:
        preloaded: dict[str, str] = {}
        closed: Closed | None = None
        ending: Ending | SandboxUnavailable = SandboxUnavailable("the sandbox failed to watch over the call")
        try:
            ending, preloaded, closed = self._supervise()
        except SandboxUnavailable as error:
            stopped = Died(reason="was stopped before its end, as asked", output="", seconds=0.0)
            ending = stopped if self._cancelled.is_set() else error
        finally:
            self._finish(self, preloaded, closed)
            self._ending = ending
            self._done.set()

    def _supervise(self) -> tuple[Ending, dict[str, str], Closed | None]:
        with contextlib.ExitStack() as stack:
            calls, call_end = _open_pipe(stack)
            output_end, output = _open_pipe(stack)
            result_end, result = _open_pipe(stack)
            capture = Capture(output_end.detach(), self._limits.output_bytes)
            replies = Replies(result_end.detach(), self._limits.result_bytes, self._events)
            process = self._source.begin(calls.number, output.number, result.number, self._events)
            for given in (calls, output, result):
                given.close()
            feeder = threading.Thread(target=_feed, args=(call_end.number, encode(self._call)), daemon=True)
            feeder.start()
            watch = Watch(process, self._limits, self._events, self._cancelled)
            watch.keep()
            replies.join(1.0)
            capture.join(1.0)
            feeder.join(1.0)
            if feeder.is_alive():  # it holds on to its descriptor, whose number must not become another file's
                call_end.detach()
            watch.drain()
            return watch.tell(capture.read()), watch.preloaded, watch.closed


def _feed(descriptor: int, payload: bytes) -> None:
    with contextlib.suppress(OSError):  # it ended before it had read all
        write_frame(descriptor, payload)


class _Descriptor:
    """A file descriptor that is closed once, by whoever holds it last."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._held = True

    def detach(self) -> int:
        self._held = False
        return self.number

    def close(self) -> None:
        if self._held:
            self._held = False
            os.close(self.number)


def _open_pipe(stack: contextlib.ExitStack) -> tuple[_Descriptor, _Descriptor]:
    read, write = (_Descriptor(number) for number in os.pipe())
    stack.callback(read.close)
    stack.callback(write.close)
    return read, write
