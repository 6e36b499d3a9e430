"""What a search or a replay found, as plain data that a child sends back. Nothing heavy is imported here."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from preflight_ocr.harness.commands.fuzz.samples import read_kept
from preflight_ocr.harness.config.errors import UserError

if TYPE_CHECKING:
    from preflight_ocr.harness.commands.fuzz.bench import Bench


class FuzzError(UserError):
    """Generated rows cannot be tried on this project."""


class BrokenPromise(msgspec.Struct, frozen=True, kw_only=True):
    """A promise that was broken: what was seen, the sample in words, and the folder that holds it."""

    promise: str
    seen: str
    sample: str
    folder: str


class Fuzzed(msgspec.Struct, frozen=True, kw_only=True):
    """What the child found. `tried` counts samples, those tried while shrinking included; `taken` those made a batch."""

    tried: int
    taken: int
    broken: tuple[BrokenPromise, ...]
    seconds: float
    out_of_time: bool = False

    @property
    def exit_code(self) -> int:
        """11 as for a MAJOR finding: some rows spoil a run, the usual ones need not."""
        return 11 if self.broken else 0


def search_as_found(bench: Bench, place: Path, *, examples: int, seconds: float) -> Fuzzed:
    """Search for about `seconds`; what breaks a promise is kept in `place`."""
    from preflight_ocr.harness.commands.fuzz.search import search

    found = search(bench, place, examples=examples, seconds=seconds)
    broken = tuple(
        BrokenPromise(promise=b.promise, seen=b.seen, sample=b.sample.describe(), folder=b.folder) for b in found.broken
    )
    return Fuzzed(
        tried=found.tried, taken=found.taken, broken=broken, seconds=found.seconds, out_of_time=found.out_of_time
    )


def replay_as_found(bench: Bench, kept: Path) -> Fuzzed:
    """Try the sample that is kept in a folder again. Raises SampleError for a folder that holds none."""
    from preflight_ocr.harness.commands.fuzz.search import replay

    started = time.monotonic()
    rows, breaches = read_kept(kept)[1], replay(bench, kept)
    words = f"{len(rows)} rows"
    broken = tuple(BrokenPromise(promise=b.promise, seen=b.seen, sample=words, folder=str(kept)) for b in breaches)
    lasted = round(time.monotonic() - started, 1)
    return Fuzzed(tried=1, taken=int(bench.taken > 0), broken=broken, seconds=lasted)
