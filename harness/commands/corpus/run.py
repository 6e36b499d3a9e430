"""The whole corpus at once: every fault in every model it applies to, every healthy model, and groups of faults together.

Faults of one model that do not get in each other's way are planted together (`bundles`), and each has to be
named with nothing beside; where that fails, each is tried alone, and what comes of that is the result. Beside the checks,
projects with one fault are given to Trainer for one step, as somebody without Preflight would try it.

Worker processes, one for each core, take the bundles of one model after the other; each has a sandbox of its own, whose
children check a project as `preflight check` does, one at a time. The healthy project of a model comes first: what the
children of a planted one could only compute again is taken over from it (`reuse`). Every contract is judged
all the same.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import msgspec

from preflight_ocr.fixtures.corpus import find_faults, load
from preflight_ocr.fixtures.corpus.cases import Case, find_cases, find_pattern_cases, find_unsuited
from preflight_ocr.fixtures.corpus.models import (
    find_miniature,
    find_miniatures,
    find_model_obstacle,
    keep_models_in,
    place_model,
)
from preflight_ocr.fixtures.corpus.plant import choose_level, clash, write_project
from preflight_ocr.fixtures.corpus.upstream import find_upstream_faults
from preflight_ocr.harness.check.asked import Asked
from preflight_ocr.harness.check.check import judge, look
from preflight_ocr.harness.check.sandboxes import open_sandbox
from preflight_ocr.harness.commands.corpus.bundles import bundle
from preflight_ocr.harness.commands.corpus.laws import add_consequences, choose_lone, judge_laws, keep_expected
from preflight_ocr.harness.commands.corpus.reuse import Inputs, choose_known, read_inputs
from preflight_ocr.harness.commands.corpus.trials import DryRun, Laws, Named, Run, Trial, is_pattern
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.isolation import ChildRaised, Returned, Sandbox
from preflight_ocr.harness.judging.findings import Crashed, Finding, Level
from preflight_ocr.harness.verdict.report import Report

DRY_RUN = "preflight_ocr.fixtures.corpus.dry_run:take_one_step"
PACKAGES = ("torch", "transformers", "peft")


def read_versions() -> dict[str, str]:
    """The installed releases that a run depends on."""
    return {name: version(name) for name in PACKAGES}


def run_corpus(
    *,
    models: Sequence[str] = (),
    faults: Sequence[str] = (),
    healthy: bool = False,
    groups: int = 0,
    seed: int = 20,
    alone: bool = False,
    dry_run: bool = True,
    jobs: int | None = None,
    known: Sequence[Trial] = (),
    progress: Callable[[Trial], object] = lambda trial: None,
) -> Run:
    """Try everything, or what is named (with `healthy` the healthy models as well). `groups` pairs and triples are drawn
    with `seed` beside it.

    With `alone` each fault has a project of its own, and each is given to Trainer; without it only those are that
    `choose_dry_runs` chooses. `jobs` is the number of worker processes, one a core where it is None. `known` are trials
    that the same run has ended before: they are taken as they are. `progress` is told each other trial as it ends.
    """
    started = time.perf_counter()
    jobs = max(1, os.cpu_count() or 1) if jobs is None else jobs
    with calm_libraries():
        wanted = list(list_trials(models, faults, healthy=healthy))
        if groups:
            wanted += draw_groups(groups, seed, models)
        stepped = {_key(t) for t in (wanted if alone or models else choose_dry_runs(wanted))} if dry_run else set()
        lone = {_key(t) for t in choose_lone(wanted)}
        done = {_key(trial): trial for trial in (*(t for t in wanted if t.obstacle is not None), *known)}
        models_left = {trial.model for trial in wanted if _key(trial) not in done}
        # A healthy project is what the others of its model are begun with, so that it comes again before what is left.
        waiting = [t for t in wanted if _key(t) not in done or (not t.faults and t.model in models_left)]
        waiting = [trial for trial in waiting if trial.obstacle is None]
        done |= _try_all(waiting, stepped, lone, alone=alone, jobs=jobs, progress=progress)
    return Run(
        versions=read_versions(),
        jobs=jobs,
        seconds=round(time.perf_counter() - started, 1),
        trials=tuple(done[_key(trial)] for trial in wanted),
        left_out=find_unsuited(),
    )


def choose_dry_runs(trials: Sequence[Trial]) -> list[Trial]:
    """Every healthy model, every fault of the models with remote code, and each other fault in one native model.

    Which one goes round. What Trainer does about a fault hardly differs between native models, and a step takes as long
    as the share of a check.
    """
    plain = [trial for trial in trials if len(trial.faults) <= 1]
    chosen = [trial for trial in plain if not trial.faults or not find_miniature(trial.model).is_native]
    for turn, fault in enumerate(find_faults()):
        native = [t for t in plain if t.faults == (fault.id,) and find_miniature(t.model).is_native and not t.obstacle]
        chosen += native[turn % len(native) :][:1] if native else []
    return chosen


Key = tuple[str, tuple[str, ...]]


def _key(trial: Trial) -> Key:
    return trial.model, trial.faults


def _try_all(
    waiting: Sequence[Trial],
    stepped: set[Key],
    lone: set[Key],
    *,
    alone: bool,
    jobs: int,
    progress: Callable[[Trial], object],
) -> dict[Key, Trial]:
    """Each trial by its model and faults; `stepped` are those that Trainer tries too, `lone` those that the laws judge
    with nothing else in the project.

    The faults of a model wait for its healthy project where that is tried.
    """
    done: dict[Key, Trial] = {}
    healthy = {trial.model for trial in waiting if not trial.faults}
    baselines: dict[str, Baseline | None] = {}
    with (
        tempfile.TemporaryDirectory(prefix="corpus-models-") as models,
        ProcessPoolExecutor(
            jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_begin, initargs=(models,)
        ) as pool,
    ):

        def submit(trials: Sequence[Trial]) -> Future[Attempted]:
            chosen = tuple(_key(trial) in stepped for trial in trials)
            apart = tuple(_key(trial) in lone for trial in trials)
            return pool.submit(attempt, tuple(trials), chosen, baselines.get(trials[0].model), lone=apart)

        def submit_faults(model: str) -> set[Future[Attempted]]:
            return {submit(one) for one in _put_together([t for t in waiting if t.faults and t.model == model], alone)}

        running = {submit([trial]) for trial in waiting if not trial.faults}
        for model in dict.fromkeys(trial.model for trial in waiting if trial.model not in healthy):
            running |= submit_faults(model)
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for attempted in (future.result() for future in ended):
                if attempted.is_mixed_up:
                    running |= {submit([trial]) for trial in attempted.trials}
                    continue
                for trial in attempted.trials:
                    done[_key(trial)] = trial
                    progress(trial)
                    if not trial.faults:
                        baselines[trial.model] = attempted.baseline
                        running |= submit_faults(trial.model)
    return done


def _put_together(trials: Sequence[Trial], alone: bool) -> Iterator[tuple[Trial, ...]]:
    """Trials of one model as they share projects. A group is one already."""
    single = {trial.faults[0]: trial for trial in trials if len(trial.faults) == 1}
    if alone or not single:
        yield from ((trial,) for trial in trials)
        return
    # A pattern is tried by itself: of what is found beside it nobody could say whose it is.
    yield from ((trial,) for fault, trial in single.items() if is_pattern(fault))
    for together in bundle((fault for fault in single if not is_pattern(fault)), trials[0].model):
        yield tuple(single[fault] for fault in together)
    yield from ((trial,) for trial in trials if len(trial.faults) > 1)


@contextmanager
def calm_libraries() -> Iterator[None]:
    """In the block, and in the processes started there, the libraries stay offline, single-threaded and quiet."""
    calm = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    calm |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false"}
    before = {name: os.environ.get(name) for name in calm}
    os.environ.update(calm)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def list_trials(models: Sequence[str] = (), faults: Sequence[str] = (), *, healthy: bool = False) -> Iterator[Trial]:
    """Every healthy model, then every fault in every model it applies to, not yet tried; one model after the other.

    Where faults are named the healthy models are left out, unless `healthy` asks for them.
    """
    for model in find_miniatures():
        if models and model.name not in models:
            continue
        if healthy or not faults:
            yield Trial(faults=(), model=model.name, obstacle=find_model_obstacle(model.name))
        for case in (*find_cases(), *find_pattern_cases()):
            if case.model == model.name and (not faults or case.fault in faults):
                yield Trial(faults=(case.fault,), model=case.model, obstacle=case.obstacle)


def draw_groups(count: int, seed: int, models: Sequence[str] = ()) -> list[Trial]:
    """Pairs and triples by turns, of faults in one model that do not take each other's place; models take turns."""
    known, chosen = {fault.id: fault for fault in find_faults()}, random.Random(seed)
    plantable = [c for c in find_cases() if c.obstacle is None and (not models or c.model in models)]
    names = sorted({case.model for case in plantable if sum(c.model == case.model for c in plantable) > 2})
    found: dict[tuple[str, tuple[str, ...]], Trial] = {}
    for turn in range(50 * count):
        if len(found) == count or not names:
            break
        here = [case.fault for case in plantable if case.model == names[turn % len(names)]]
        group = tuple(sorted(chosen.sample(here, 2 + turn % 2)))
        if not any(clash(known[left], known[right]) for left, right in combinations(group, 2)):
            trial = Trial(faults=group, model=names[turn % len(names)])
            found[trial.model, group] = trial
    return list(found.values())


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """The healthy project of a model: what its children read, and what they saw."""

    inputs: Inputs
    facts: Facts


class Attempted(msgspec.Struct, frozen=True, kw_only=True):
    """Trials that shared a project. `is_mixed_up`: what was found is not what was planted, and nobody can say by whom."""

    trials: tuple[Trial, ...]
    is_mixed_up: bool = False
    baseline: Baseline | None = None


def attempt(
    trials: tuple[Trial, ...],
    stepped: tuple[bool, ...],
    baseline: Baseline | None = None,
    *,
    lone: tuple[bool, ...] = (),
    sandbox: Sandbox | None = None,
) -> Attempted:
    """Plant what these trials of one model hold, check, and let Trainer try those that are `stepped`.

    Beside the check the laws judge the same facts by themselves; those that are `lone` (none where it is empty) get a
    project of their own for that where they had company, or where the check only read. A healthy project is a baseline for
    the others of its model. `sandbox` is the worker's where it is None.
    """
    sandbox = sandbox or _sandbox()
    model, faults = trials[0].model, tuple(fault for trial in trials for fault in trial.faults)
    level: Level = choose_level([load(fault).FAULT for fault in faults]) if faults else "ran"
    upstream = find_upstream_faults(model) if level == "ran" else ()
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        project = write_project(Path(folder) / "project", faults, model=model)
        started = time.perf_counter()
        checked = _check(project, faults, model, level, baseline, sandbox)
        seconds, report = time.perf_counter() - started, checked.report
        tried = share_out(trials, report, upstream, seconds=seconds, reused=checked.reused)
        if len(trials) > 1 and not all(trial.is_exact for trial in tried):
            return Attempted(trials=trials, is_mixed_up=True)
        if level == "ran" and not _list_crashed(report):
            deserved = add_consequences(upstream, report.judgements)
            tried = share_laws(tried, judge_laws(report.facts, upstream=deserved))
        apart = lone or (False,) * len(tried)
        tried = tuple(
            _ask_laws(t, Path(folder), baseline, sandbox) if a else t for t, a in zip(tried, apart, strict=True)
        )
        tried = tuple(_step(t, project, Path(folder), sandbox) if s else t for t, s in zip(tried, stepped, strict=True))
    return Attempted(trials=tried, baseline=None if faults else Baseline(inputs=checked.inputs, facts=report.facts))


class Checked(NamedTuple):
    """One project's report, what its children read, and those of them that were not run."""

    report: Report
    inputs: Inputs
    reused: tuple[str, ...]


def _check(
    project: Path, faults: tuple[str, ...], model: str, level: Level, baseline: Baseline | None, sandbox: Sandbox
) -> Checked:
    """The check of a project with these faults, which takes over what the healthy one has computed already."""
    inputs = read_inputs(project, faults, place_model(model))
    installs = [install for fault in faults if (install := getattr(load(fault), "install", None)) is not None]
    reusable = baseline is not None and level == "ran" and not installs
    known = choose_known(inputs, baseline.inputs, baseline.facts) if baseline and reusable else None
    config, asked = load_config(project), Asked(level=level, trust=True)
    with _install(installs, project.parent.with_name(f"{project.parent.name}-site"), sandbox) as used:
        report = judge(config, asked, look(config, asked, sandbox=used, together=1, known=known))
    return Checked(report=report, inputs=inputs, reused=known.children if known else ())


def share_laws(trials: tuple[Trial, ...], laws: Laws) -> tuple[Trial, ...]:
    """The trials of one project with what the laws say of each; a group is left as it is."""
    return tuple(
        msgspec.structs.replace(trial, laws=keep_expected(laws, _expect(trial)) if trial.beside else laws)
        if len(trial.faults) <= 1
        else trial
        for trial in trials
    )


def _ask_laws(trial: Trial, folder: Path, baseline: Baseline | None, sandbox: Sandbox) -> Trial:
    """The trial with what the laws say where nothing else is planted and everything is run."""
    if trial.laws is not None and trial.laws.alone:
        return trial
    project = write_project(folder / "-".join((*trial.faults, "alone")), trial.faults, model=trial.model)
    report = _check(project, trial.faults, trial.model, "ran", baseline, sandbox).report
    if crashed := _list_crashed(report):  # nothing to be judged, and as wrong as a finding that is not true
        return msgspec.structs.replace(trial, extra=tuple(sorted({*trial.extra, *crashed})))
    deserved = add_consequences(find_upstream_faults(trial.model), report.judgements)
    return msgspec.structs.replace(trial, laws=judge_laws(report.facts, upstream=deserved))


def _list_crashed(report: Report) -> list[str]:
    return [j.contract.diagnosis.name for j in report.judgements if isinstance(j.outcome, Crashed)]


@contextmanager
def _install(installs: Sequence[Callable[[Path], object]], site: Path, sandbox: Sandbox) -> Iterator[Sandbox]:
    """The sandbox; where packages are installed into `site`, one of their own that finds them first, as this process does.

    What a process has imported stays imported, so that the warm one of `sandbox` would not see them.
    """
    if not installs:
        yield sandbox
        return
    site.mkdir()
    for install in installs:
        install(site)
    sys.path.insert(0, str(site))
    try:
        with open_sandbox() as own:
            yield own
    finally:
        sys.path.remove(str(site))


def share_out(
    trials: tuple[Trial, ...], report: Report, upstream: tuple[str, ...], *, seconds: float, reused: tuple[str, ...]
) -> tuple[Trial, ...]:
    """The trials with what one report holds for each. What no trial expected is extra in every one of them."""
    named = {finding.name: finding for finding in report.findings}
    expected = {trial.faults: _expect(trial) for trial in trials}
    allowed = {*upstream, *(name for names in expected.values() for name in names)}
    extra = tuple(sorted({*(set(named) - allowed), *_list_crashed(report)}))
    return tuple(
        msgspec.structs.replace(
            trial,
            found=tuple(_name(named[name]) for name in expected[trial.faults] if name in named),
            missed=tuple(name for name in expected[trial.faults] if name not in named),
            extra=extra,
            upstream=tuple(name for name in upstream if name in named),
            beside=tuple(fault for other in trials if other is not trial for fault in other.faults),
            seconds=round(seconds / len(trials), 2),
            reused=reused,
        )
        for trial in trials
    )


def _step(trial: Trial, project: Path, folder: Path, sandbox: Sandbox) -> Trial:
    """The trial with what Trainer does about its faults, and no others."""
    if trial.beside:
        project = write_project(folder / "-".join(trial.faults), trial.faults, model=trial.model)
    return msgspec.structs.replace(trial, dry_run=try_one_step(project, project.parent, sandbox))


def try_one_step(project: Path, folder: Path, sandbox: Sandbox) -> DryRun:
    """One step of Trainer on this project in a child."""
    match sandbox.run(DRY_RUN, {"config_path": str(project), "folder": str(folder)}):
        case Returned():
            return DryRun(outcome="silent")
        case ChildRaised(type=kind, message=message):
            return DryRun(outcome="raised", message=f"{kind.rpartition('.')[2]}: {_shorten(message, folder)}")
        case died:
            return DryRun(outcome="died", message=_shorten(died.reason, folder))


def _expect(trial: Trial) -> tuple[str, ...]:
    cases: dict[tuple[str, str], Case] = {
        (case.fault, case.model): case for case in (*find_cases(), *find_pattern_cases())
    }
    return tuple(dict.fromkeys(name for fault in trial.faults for name in cases[fault, trial.model].expects))


def _name(finding: Finding) -> Named:
    return Named(code=finding.code, name=finding.name, basis=finding.basis.value)


def _shorten(message: str, folder: Path) -> str:
    """The first line, without places of this machine."""
    line = message.strip().partition("\n")[0]
    for place, name in ((str(folder), "DIR"), (sys.prefix, "PYTHON"), (tempfile.gettempdir(), "TMP")):
        line = line.replace(place, name)
    return line if len(line) <= 160 else f"{line[:157]}..."


def _begin(models: str) -> None:
    """The first thing in a worker: where models are kept, and its sandbox, which comes up meanwhile."""
    keep_models_in(Path(models))
    _sandbox()


@cache
def _sandbox() -> Sandbox:
    """This worker's sandbox; it goes with the worker."""
    opened = open_sandbox(["preflight_ocr.harness.commands.corpus.warm"]).__enter__()
    atexit.register(opened.__exit__, None, None, None)
    return opened
