"""Processes that work on units on all cores. Results come in the order of the units; few are held at a time.

A unit whose reading ends its process (a decoder that crashes, memory that runs out) is rejected; the others are not.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from preflight_ocr.harness.commands.prepare.asked import Asked, PrepareError
from preflight_ocr.harness.commands.prepare.outcomes import Outcome, Rejected
from preflight_ocr.harness.commands.prepare.units import Unit, weigh

Chunk = list[tuple[int, Unit]]
Result = list[tuple[int, list[Outcome]]]

_AT_ONCE = 16  # units that are handed over together
_HEAVIEST = 8 * 2**20  # bytes of pictures that are handed over together
_AHEAD = 3  # chunks for each process that wait or are done
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # one a process, which has a core to itself
_MOST_ENDED = 5  # processes that may end one after the other


def count_cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(units: Iterable[tuple[int, Unit]], asked: Asked, *, jobs: int) -> Iterator[Result]:
    """The outcomes of all units in their order, some units at a time. With no `jobs`, in this process.

    Raises OSError where a picture cannot be written, PrepareError where processes only end.
    """
    chunks = _gather(units)
    if jobs == 0:
        for chunk in chunks:
            yield work_on(chunk, asked)
        return
    crew = _Crew(asked, jobs)
    try:
        yield from crew.run(chunks)
    finally:
        crew.end()


def work_on(chunk: Chunk, asked: Asked) -> Result:
    """What a process does."""
    from preflight_ocr.harness.commands.prepare.work import work

    return [(number, work(number, unit, asked)) for number, unit in chunk]


def _gather(units: Iterable[tuple[int, Unit]]) -> Iterator[Chunk]:
    chunk: Chunk = []
    weight = 0
    for number, unit in units:
        chunk.append((number, unit))
        weight += weigh(unit)
        if len(chunk) == _AT_ONCE or weight > _HEAVIEST:
            yield chunk
            chunk, weight = [], 0
    if chunk:
        yield chunk


class _Crew:
    def __init__(self, asked: Asked, jobs: int) -> None:
        self._asked, self._jobs = asked, jobs
        self._pool = self._start(jobs)
        self._ended = 0  # one after the other

    def run(self, chunks: Iterator[Chunk]) -> Iterator[Result]:
        waiting: deque[tuple[Chunk, Future[Result]]] = deque()
        while True:
            while len(waiting) < _AHEAD * self._jobs and (chunk := next(chunks, None)) is not None:
                waiting.append((chunk, self._submit(self._pool, chunk)))
            if not waiting:
                return
            chunk, future = waiting.popleft()
            try:
                yield future.result()
            except BrokenProcessPool:
                self.end()
                yield self._find_culprit(chunk)
                self._pool = self._start(self._jobs)
                waiting = deque((one, old if _is_done(old) else self._submit(self._pool, one)) for one, old in waiting)

    def _submit(self, pool: ProcessPoolExecutor, chunk: Chunk) -> Future[Result]:
        try:
            return pool.submit(work_on, chunk, self._asked)
        except BrokenProcessPool as error:
            broken: Future[Result] = Future()
            broken.set_exception(error)
            return broken

    def _find_culprit(self, chunk: Chunk) -> Result:
        """The outcomes of a chunk, each unit in a process of its own."""
        found: Result = []
        for number, unit in chunk:
            pool = self._start(1)
            try:
                found += self._submit(pool, [(number, unit)]).result()
                self._ended = 0
            except BrokenProcessPool:
                self._ended += 1
                if self._ended == _MOST_ENDED:
                    said = "each process ends at once: is there enough memory? give --jobs 1, or --max-pixels less"
                    raise PrepareError(said) from None
                origin = unit.origin
                said = f"{origin}: reading it ended the process, by a crash of the decoder or for want of memory"
                found.append((number, [Rejected(origin=origin, reason="ended_process", said=said)]))
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        return found

    def _start(self, jobs: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_settle_in)

    def end(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def _is_done(future: Future[Result]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _settle_in() -> None:
    """Leave Ctrl-C to the process that began, and end with it however it ends. Nothing heavy is imported before this."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
