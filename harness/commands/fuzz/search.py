"""Draw samples, try them, shrink what fails, and keep the smallest."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky

from preflight_ocr.harness import atomic
from preflight_ocr.harness.commands.fuzz.bench import Bench
from preflight_ocr.harness.commands.fuzz.promises import Breach, find_breaches
from preflight_ocr.harness.commands.fuzz.samples import (
    RUNNING,
    Expectation,
    Sample,
    SampleError,
    keep,
    read_kept,
    write_pages,
)
from preflight_ocr.harness.commands.fuzz.strategies import draw_samples
from preflight_ocr.harness.training.data import DataError, Rows


class Breakage(msgspec.Struct, frozen=True, kw_only=True):
    """A promise that generated rows break, with the smallest sample found and the folder it was kept in."""

    promise: str
    seen: str
    sample: Sample
    folder: str


class Searched(msgspec.Struct, frozen=True, kw_only=True):
    """How a search ended. `tried` counts samples, those tried while shrinking included; `taken` those made a batch.

    `broken` holds the promise that was broken first, with the smallest sample that breaks it, if any was.
    """

    tried: int
    taken: int
    broken: tuple[Breakage, ...]
    seconds: float
    out_of_time: bool = False


class _OutOfTime(BaseException):
    """Ends a search from within; no Exception, so that nobody on the way takes it for a failure of the sample."""


class _Failed(AssertionError):
    """One sample breaks one promise."""


def search(
    bench: Bench,
    folder: Path,
    *,
    examples: int = 100,
    seconds: float = 300.0,
    forward_every: int = 4,
    models: Sequence[str] = (),
    seed: int = 0,
) -> Searched:
    """Try `examples` generated samples; every `forward_every`th goes through the model too (0: none does).

    What breaks a promise is shrunk and kept in `folder`/PROMISE. Ends after about `seconds`, with what was found so far.
    """
    started, tried, taken = time.monotonic(), 0, bench.taken
    smallest: tuple[Sample, Breach] | None = None
    asked: dict[Sample, bool] = {}  # so that a sample tried again, as while shrinking, is tried in the same way

    def attempt_sample(sample: Sample) -> None:
        nonlocal tried, smallest
        if time.monotonic() - started > seconds:
            raise _OutOfTime
        tried += 1
        atomic.write_bytes(folder / RUNNING, msgspec.json.encode(sample))
        forward = asked.setdefault(sample, smallest is not None or (forward_every > 0 and tried % forward_every == 0))
        for breach in try_sample(bench, sample, folder / "pages", forward=forward and forward_every > 0):
            # From the first on, one promise is pursued: shrinking would slip from one failure into another.
            if smallest is None or (breach.promise == smallest[1].promise and sample.size <= smallest[0].size):
                smallest = (sample, breach)
            if breach.promise == smallest[1].promise:
                raise _Failed(breach.seen)

    drawn = draw_samples(typed=bench.typed, most_rows=bench.most_rows, bare=bench.takes_bare_rows, several=bench.is_own)
    run: Any = hypothesis.seed(seed)(
        settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )(hypothesis.given(drawn)(attempt_sample))
    )
    folder.mkdir(parents=True, exist_ok=True)
    out_of_time = False
    try:
        with suppress(_Failed, Flaky):  # what failed is in `smallest`
            run()
        # Shrinking is slow to let go of a row in front of the one that fails.
        if smallest is not None and len(smallest[0].sheets) > 1:
            for sheet in smallest[0].sheets:
                with suppress(_Failed):
                    attempt_sample(Sample(sheets=(sheet,)))
    except _OutOfTime:
        out_of_time = True
    (folder / RUNNING).unlink(missing_ok=True)
    broken: tuple[Breakage, ...] = ()
    if smallest is not None:
        sample, breach = smallest
        kept = keep(sample, _expect(breach, models), folder / breach.promise)
        broken = (Breakage(promise=breach.promise, seen=breach.seen, sample=sample, folder=str(kept)),)
    return Searched(
        tried=tried,
        taken=bench.taken - taken,
        broken=broken,
        seconds=round(time.monotonic() - started, 1),
        out_of_time=out_of_time,
    )


def try_sample(bench: Bench, sample: Sample, pages: Path, *, forward: bool) -> list[Breach]:
    """Every promise that one sample breaks; for our own parts, what reading its rows from a file promises too."""
    rows = write_pages(sample, pages)
    return [*(_read_as_data(rows, pages) if bench.is_own else []), *find_breaches(bench, rows, forward=forward)]


def replay(bench: Bench, folder: Path) -> list[Breach]:
    """Every promise that a kept sample breaks today. Raises SampleError for a folder that holds none."""
    _, rows = read_kept(folder)
    for row in rows:
        if not isinstance(row.get("text"), str):
            raise SampleError(f"{folder / 'metadata.json'}: seen a row without text, expected {{image_path, text}}")
    return list(find_breaches(bench, rows, forward=True))


def _expect(breach: Breach, models: Sequence[str]) -> Expectation:
    return Expectation(promise=breach.promise, seen=breach.seen, models=tuple(models))


def _read_as_data(rows: Sequence[dict[str, Any]], folder: Path) -> list[Breach]:
    """Our reader gives these rows back as they were written, or names the row that has several pictures."""
    (folder / "metadata.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    several = [number for number, row in enumerate(rows) if isinstance(row.get("image_path"), list)]
    try:
        read = [*map(Rows(folder).__getitem__, range(len(rows)))]
    except DataError as error:
        named = bool(several) and f"row {several[0]} " in str(error)
        return [] if named else [Breach(promise="names-the-row-it-refuses", seen=str(error))]
    if several:
        return [Breach(promise="one-picture-a-row", seen=f"row {several[0]} with several pictures was read")]
    return [] if read == list(rows) else [Breach(promise="reads-what-was-written", seen="rows came back changed")]
