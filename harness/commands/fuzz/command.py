"""`preflight fuzz`: the search in a child with limits, because what it drives is foreign code."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from preflight_ocr.harness.check.trust import find_refusal
from preflight_ocr.harness.commands.fuzz.samples import RUNNING, Expectation, Sample, SampleError, keep, read_kept
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.schema import Config

if TYPE_CHECKING:
    from preflight_ocr.harness.isolation import Sandbox

SECONDS = 600.0  # for the child, loading included
SEARCHING = 0.7  # of these seconds the search may use; loading the model and the last sample need some too
ENDED = "ends-the-process"


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


def fuzz(
    config: Config,
    *,
    folder: Path,
    examples: int = 100,
    seconds: float | None = None,
    trust: bool = False,
    replayed: Path | None = None,
    progress: Callable[[str], None] = lambda message: None,
    sandbox: Sandbox | None = None,
) -> Fuzzed:
    """Try generated rows on the collator and the model of a project, or one kept sample where `replayed` names it.

    What breaks a promise is kept in `folder`. `sandbox` is one already open, for whoever tries several projects.
    Raises FuzzError where nothing can be tried, SampleError for a folder that holds no sample.
    """
    from preflight_ocr.harness.check.sandboxes import limit, open_sandbox
    from preflight_ocr.harness.isolation import ChildRaised, Died

    if importlib.util.find_spec("hypothesis") is None:
        raise FuzzError("rows are drawn with Hypothesis, which is not installed; type `pip install hypothesis`")
    if reason := find_refusal(config, trust=trust, parts=("model", "collator")):
        raise FuzzError(reason)
    if replayed is not None:
        read_kept(replayed)
    allowed, place = SECONDS if seconds is None else seconds, folder.absolute()
    place.mkdir(parents=True, exist_ok=True)
    (place / RUNNING).unlink(missing_ok=True)
    arguments = {
        "config_path": str(config.source), "trust": trust, "folder": str(place), "examples": examples,
        "seconds": allowed * SEARCHING, "replayed": None if replayed is None else str(replayed.absolute()),
    }  # fmt: skip
    progress(f"trying {examples} generated samples" if replayed is None else f"trying {replayed} again")
    with nullcontext(sandbox) if sandbox is not None else open_sandbox() as opened:
        ended = opened.run("preflight_ocr.harness.commands.fuzz.command:observe", arguments, limits=limit(allowed))
    if isinstance(ended, ChildRaised):
        raise FuzzError(f"{config.source}: nothing could be tried: {ended.type.rpartition('.')[2]}: {ended.message}")
    if isinstance(ended, Died):
        return _report_death(ended.reason, ended.seconds, place)
    return msgspec.convert(ended.value, Fuzzed)


def observe(
    *, config_path: str, trust: bool, folder: str, examples: int, seconds: float, replayed: str | None
) -> dict[str, Any]:
    """In the child: open the project and search, or replay. Returns a Fuzzed as builtins."""
    from hypothesis.configuration import set_hypothesis_home_dir

    from preflight_ocr.harness.commands.fuzz.bench import Bench
    from preflight_ocr.harness.commands.fuzz.search import replay, search
    from preflight_ocr.probes.workbench.assembly import Assembly

    place = Path(folder)
    set_hypothesis_home_dir(place / ".cache")
    bench = Bench(Assembly(config_path, trust=trust, folder=place / ".cache"), place / "pages")
    if replayed is not None:
        started = time.monotonic()
        rows, breaches = read_kept(Path(replayed))[1], replay(bench, Path(replayed))
        words = f"{len(rows)} rows"
        lasted = round(time.monotonic() - started, 1)
        broken = tuple(BrokenPromise(promise=b.promise, seen=b.seen, sample=words, folder=replayed) for b in breaches)
        return dict(msgspec.to_builtins(Fuzzed(tried=1, taken=int(bench.taken > 0), broken=broken, seconds=lasted)))
    found = search(bench, place, examples=examples, seconds=seconds)
    broken = tuple(
        BrokenPromise(promise=b.promise, seen=b.seen, sample=b.sample.describe(), folder=b.folder) for b in found.broken
    )
    summary = Fuzzed(
        tried=found.tried, taken=found.taken, broken=broken, seconds=found.seconds, out_of_time=found.out_of_time
    )
    return dict(msgspec.to_builtins(summary))


def _report_death(reason: str, seconds: float, folder: Path) -> Fuzzed:
    """The sample that was being tried when the child ended, kept like any other. Raises FuzzError where there was none."""
    path = folder / RUNNING
    try:
        sample = msgspec.json.decode(path.read_bytes(), type=Sample)
    except (OSError, msgspec.MsgspecError):
        raise FuzzError(f"the process {reason} before any row was tried; type `preflight check` to see why") from None
    path.unlink()
    kept = keep(sample, Expectation(promise=ENDED, seen=reason), folder / ENDED)
    broken = BrokenPromise(promise=ENDED, seen=f"the process {reason}", sample=sample.describe(), folder=str(kept))
    return Fuzzed(tried=1, taken=0, broken=(broken,), seconds=seconds)


__all__ = ["BrokenPromise", "FuzzError", "Fuzzed", "SampleError", "fuzz", "observe"]
