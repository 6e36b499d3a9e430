"""The corpus as tables: what `preflight corpus` prints, and what `docs/measured/corpus.md` is made of.

`python -m preflight_ocr.harness.commands.corpus.table` runs everything and writes `results.json` beside this file. With
models or `--fault ID` it runs only those, and writes nothing unless `--write FILE` says where. With `--keep FILE` each trial
is kept as it ends, and a run that was stopped goes on. What an environment with other releases says of the laws is kept
beside it, as `results-transformers-RELEASE.json`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from preflight_ocr.fixtures.corpus import find_faults
from preflight_ocr.fixtures.corpus.models import find_miniatures
from preflight_ocr.harness import atomic
from preflight_ocr.harness.commands.corpus.kept import Kept
from preflight_ocr.harness.commands.corpus.laws import summarise_laws
from preflight_ocr.harness.commands.corpus.run import read_versions, run_corpus
from preflight_ocr.harness.commands.corpus.trials import Run, Trial

RESULTS = Path(__file__).with_name("results.json")


def read_results(path: Path = RESULTS) -> Run:
    """What the last run wrote. Raises OSError where there was none, msgspec.DecodeError where it is not readable."""
    return msgspec.json.decode(path.read_bytes(), type=Run)


def read_all_results(folder: Path = RESULTS.parent) -> tuple[Run, ...]:
    """The whole run, and then the parts that were run with other releases, by the names of their files."""
    others = sorted(folder.glob(f"{RESULTS.stem}-*.json"))
    return tuple(map(read_results, (folder / RESULTS.name, *others)))


def write_results(run: Run, path: Path = RESULTS) -> None:
    """Write the whole file or nothing."""
    atomic.write_text(path, msgspec.json.format(msgspec.json.encode(run)).decode() + "\n")


def summarise(run: Run) -> Iterator[str]:
    """The figures in all, a line each."""
    planted, healthy, groups = run.planted, run.healthy, run.groups
    with_dry_run = [trial for trial in planted if trial.dry_run is not None]
    exact = sum(trial.is_exact for trial in planted)
    models = len({trial.model for trial in run.trials if trial.obstacle is None})
    yield f"{exact} of {len(planted)} planted faults found by exactly their root causes, in {models} models"
    if together := sum(bool(trial.beside) for trial in planted):
        yield f"{together} of them were planted beside others in one project, and each was told apart"
    yield f"{sum(bool(t.extra) for t in healthy)} of {len(healthy)} healthy models with a false alarm"
    if patterns := run.patterns:
        silent = [trial for trial in patterns if not trial.found and not trial.missed]
        ids = {trial.faults[0] for trial in patterns}
        yield (
            f"{sum(bool(t.extra) for t in patterns)} of {len(patterns)} patterns of other people's code with a false alarm "
            f"({len(ids)} patterns; {len(silent)} planted as healthy, "
            f"{sum(t.is_exact for t in patterns if t.found or t.missed)} of {len(patterns) - len(silent)} defects named)"
        )
    if upstream := [f"{t.model}: {', '.join(t.upstream)}" for t in healthy if t.upstream]:
        yield f"found on healthy models because the installed releases do it: {'; '.join(upstream)}"
    if groups:
        yield f"{sum(t.is_exact for t in groups)} of {len(groups)} groups of two or three faults found as planted"
    if with_dry_run:
        raised = sum(_raises(trial) for trial in with_dry_run)
        alarms = sum(_raises(trial) for trial in healthy)
        how = f"tried with {len(with_dry_run)} of them" if len(with_dry_run) < len(planted) else "tried with each"
        yield (
            f"one step of Trainer instead, {how}: {raised} of {len(with_dry_run)} raise something; "
            f"so do {alarms} of {len(healthy)} healthy models"
        )
    if reused := Counter(child for trial in (*planted, *groups) for child in trial.reused):
        counts = ", ".join(f"{child} in {count}" for child, count in sorted(reused.items()))
        of = len(planted) + len(groups)
        yield f"reused from the healthy run, because the inputs were identical: {counts} of {of}"
    prevented = sum(trial.obstacle is not None and bool(trial.faults) for trial in run.trials)
    if prevented:
        yield f"{prevented} cases need packages or releases that are not installed"
    tried = max(len(planted) + len(healthy) + len(groups), 1)
    each = run.seconds / tried
    versions = ", ".join(f"{name} {release}" for name, release in run.versions.items())
    yield f"{run.seconds:.0f} s in {run.jobs} processes, {each:.2f} s per case; {versions}"


def describe(trial: Trial) -> str:
    """One trial in one line."""
    what = f"{'+'.join(trial.faults) or 'healthy'} in {trial.model}"
    if trial.obstacle is not None:
        return f"{what}: not planted, {trial.obstacle}"
    found = ", ".join(f"{one.code} {one.name} ({one.basis})" for one in trial.found)
    wrong = [
        f"{word} {', '.join(names)}" for word, names in (("MISSED", trial.missed), ("EXTRA", trial.extra)) if names
    ]
    dry_run = "" if trial.dry_run is None else f"; dry run: {trial.dry_run.message or trial.dry_run.outcome}"
    said = "; ".join(filter(None, [found, *wrong])) or "nothing"
    beside = f", beside {', '.join(trial.beside)}" if trial.beside else ""
    return f"{what}{beside}: {said}; {trial.seconds:.1f} s{dry_run}"


def tabulate_faults(run: Run) -> Iterator[tuple[str, ...]]:
    """A row for each fault: id, what is planted, named as, basis, models in which it was found, dry runs that raise."""
    for fault in find_faults():
        trials = [trial for trial in run.trials if trial.faults == (fault.id,)]
        planted = [trial for trial in trials if trial.obstacle is None]
        causes = dict.fromkeys(f"{one.code} {one.name}" for trial in planted for one in trial.found)
        basis = dict.fromkeys(one.basis for trial in planted for one in trial.found)
        if not planted:
            reason = next((trial.obstacle for trial in trials if trial.obstacle), "")
            yield fault.id, fault.plant, f"not planted: {reason}", "-", "-", "-"
            continue
        yield (
            fault.id,
            fault.plant,
            ", ".join(causes) or "nothing",
            ", ".join(basis) or "-",
            f"{sum(trial.is_exact for trial in planted)} of {len(planted)}",
            f"{sum(map(_raises, planted))} of {sum(trial.dry_run is not None for trial in planted)} tried",
        )


def tabulate_models(run: Run) -> Iterator[tuple[str, ...]]:
    """A row for each model: its name, faults found, findings when healthy, seconds of a check, or why it is not there."""
    for model in find_miniatures():
        trials = [trial for trial in run.trials if trial.model == model.name]
        planted = [trial for trial in trials if len(trial.faults) == 1 and trial.obstacle is None]
        healthy = next((trial for trial in trials if not trial.faults), None)
        if healthy is None or healthy.obstacle is not None:
            yield model.shown, "-", f"not run: {healthy.obstacle}" if healthy is not None else "not run", "-"
            continue
        names = [*healthy.extra, *(f"{name} (so does the release)" for name in healthy.upstream)]
        seconds = sum(trial.seconds for trial in planted) / max(len(planted), 1)
        exact = f"{sum(trial.is_exact for trial in planted)} of {len(planted)}"
        yield model.shown, exact, ", ".join(names) or "none", f"{seconds:.1f}"


def tabulate_pairs(run: Run) -> Iterator[tuple[str, ...]]:
    """A row for each fault and model: what was found, missed or over-reported, planted beside, seconds, the dry run."""
    for trial in run.trials:
        if len(trial.faults) != 1:
            continue
        found = ", ".join(f"{one.code} {one.name}" for one in trial.found)
        wrong = [
            f"{word}: {', '.join(names)}" for word, names in (("missed", trial.missed), ("extra", trial.extra)) if names
        ]
        said = f"not planted: {trial.obstacle}" if trial.obstacle else "; ".join(filter(None, [found, *wrong]))
        dry_run = "-" if trial.dry_run is None else trial.dry_run.message or trial.dry_run.outcome
        seconds = "-" if trial.obstacle else f"{trial.seconds:.1f}"
        yield trial.faults[0], trial.model, said, ", ".join(trial.beside) or "-", seconds, dry_run


def _raises(trial: Trial) -> bool:
    return trial.dry_run is not None and trial.dry_run.outcome != "silent"


def main(words: Sequence[str], *, write: Callable[[str], object] = sys.stdout.write) -> int:
    """Run everything, or what is named, and write the results. Returns 1 where anything was not exact.

    What is named is a trial, and is written only where `--write` says where: the committed results are of a whole run.
    """
    asked = _read(words)
    named = bool(asked.models or asked.fault)
    try:
        kept = None if asked.keep is None else Kept(asked.keep, read_versions())
    except ValueError as error:
        write(f"{error}\n")
        return 2
    started = time.monotonic()

    def tell(trial: Trial) -> None:
        if kept is not None:
            kept.add(trial, time.monotonic() - started)
        write(describe(trial) + "\n")

    run = run_corpus(
        models=asked.models,
        faults=asked.fault,
        healthy=asked.healthy,
        groups=0 if named else 16,
        jobs=asked.jobs,
        known=() if kept is None else kept.trials,
        progress=tell,
    )
    if kept is not None:
        run = msgspec.structs.replace(run, seconds=round(kept.seconds + run.seconds, 1))
    if asked.write is not None or not named:
        write_results(run, asked.write or RESULTS)
    for line in (*summarise(run), *summarise_laws([run])):
        write(f"{line}\n")
    return 0 if all(trial.is_exact for trial in run.trials) else 1


def _read(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m {__spec__.name}", description="Run the corpus and write its results beside this module."
    )
    parser.add_argument("models", nargs="*", help="only these models")
    parser.add_argument("--fault", action="append", default=[], metavar="ID", help="only this fault; may be repeated")
    parser.add_argument("--healthy", action="store_true", help="the healthy models too, where faults are named")
    parser.add_argument("--write", type=Path, metavar="FILE", help="where to write; needed for a part of the corpus")
    parser.add_argument(
        "--keep", type=Path, metavar="FILE", help="keep each trial there, and go on with those it holds"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="worker processes; one for each core by default")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
