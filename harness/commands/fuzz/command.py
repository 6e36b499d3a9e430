"""`preflight fuzz`: the search in a child with limits, because what it drives is foreign code."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from preflight_ocr.harness.check.trust import find_refusal
from preflight_ocr.harness.commands.fuzz.found import (
    BrokenPromise,
    Fuzzed,
    FuzzError,
    replay_as_found,
    search_as_found,
)
from preflight_ocr.harness.commands.fuzz.samples import RUNNING, Expectation, Sample, SampleError, keep, read_kept
from preflight_ocr.harness.config.schema import Config

if TYPE_CHECKING:
    from preflight_ocr.harness.isolation import Sandbox

SECONDS = 600.0  # for the child, loading included
SEARCHING = 0.7  # of these seconds the search may use; loading the model and the last sample need some too
ENDED = "ends-the-process"


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

    _require_hypothesis()
    if reason := find_refusal(config, trust=trust, parts=("model", "collator")):
        raise FuzzError(reason)
    allowed, place = SECONDS if seconds is None else seconds, _prepare(folder, replayed)
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


def fuzz_command(
    words: Sequence[str],
    *,
    folder: Path,
    examples: int = 100,
    seconds: float | None = None,
    replayed: Path | None = None,
    progress: Callable[[str], None] = lambda message: None,
) -> Fuzzed:
    """The same on what a training command would train, whose rows are of a form of its own. Raises as `fuzz` does.

    The caller has said that the command may run.
    """
    from preflight_ocr.harness.check.answers import WRONG_FORM
    from preflight_ocr.harness.check.command import visit_command
    from preflight_ocr.harness.facts import Unknown

    _require_hypothesis()
    place = _prepare(folder, replayed)
    allowed = SECONDS if seconds is None else seconds
    arguments = {
        "folder": str(place), "examples": examples, "seconds": allowed * SEARCHING,
        "replayed": None if replayed is None else str(replayed.absolute()),
    }  # fmt: skip
    target = "preflight_ocr.harness.commands.fuzz.held:observe"
    answer = visit_command(words, target, arguments, progress=progress, seconds=allowed)
    if isinstance(answer, Unknown):
        if answer.cause == "foreign code died":
            return _report_death(answer.reason.removeprefix("foreign code died: the process "), 0.0, place)
        raise FuzzError(f"nothing could be tried: {answer.reason}")
    if isinstance(answer, dict) and "refused" in answer:
        raise FuzzError(str(answer["refused"]))
    try:
        return msgspec.convert(answer, Fuzzed)
    except WRONG_FORM as error:
        raise FuzzError(f"your code changed what its process answers: a wrong form ({error})") from None


def _require_hypothesis() -> None:
    if importlib.util.find_spec("hypothesis") is None:
        raise FuzzError("rows are drawn with Hypothesis, which is not installed; type `pip install hypothesis`")


def _prepare(folder: Path, replayed: Path | None) -> Path:
    """The folder for what is found, without the sample of an earlier run that died. Raises SampleError."""
    if replayed is not None:
        read_kept(replayed)
    place = folder.absolute()
    place.mkdir(parents=True, exist_ok=True)
    (place / RUNNING).unlink(missing_ok=True)
    return place


def observe(
    *, config_path: str, trust: bool, folder: str, examples: int, seconds: float, replayed: str | None
) -> dict[str, Any]:
    """In the child: open the project and search, or replay. Returns a Fuzzed as builtins."""
    from hypothesis.configuration import set_hypothesis_home_dir

    from preflight_ocr.harness.commands.fuzz.bench import Bench
    from preflight_ocr.probes.workbench.assembly import Assembly

    place = Path(folder)
    set_hypothesis_home_dir(place / ".cache")
    bench = Bench(Assembly(config_path, trust=trust, folder=place / ".cache"), place / "pages")
    if replayed is not None:
        return dict(msgspec.to_builtins(replay_as_found(bench, Path(replayed))))
    return dict(msgspec.to_builtins(search_as_found(bench, place, examples=examples, seconds=seconds)))


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
