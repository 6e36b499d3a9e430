"""One check, from configuration to report: read, run what may be run, judge."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from preflight_ocr.harness.check.accelerator import find_obstacle, look_at_device
from preflight_ocr.harness.check.asked import SECONDS, Asked
from preflight_ocr.harness.check.children import (
    NOT_NEEDED,
    RAN,
    Answers,
    Known,
    choose_children,
    gather,
    read_illustrations,
    run_children,
)
from preflight_ocr.harness.check.endings import tell
from preflight_ocr.harness.check.reading import read
from preflight_ocr.harness.check.recall import open_recall
from preflight_ocr.harness.check.sandboxes import count_together, limit, open_sandbox
from preflight_ocr.harness.check.seen import Progress, Seen, measure
from preflight_ocr.harness.check.trust import NO_TRUST, is_foreign
from preflight_ocr.harness.config.packages import RUNNING, tell_absent
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Dataset, Facts, Unknown
from preflight_ocr.harness.isolation import Sandbox
from preflight_ocr.harness.isolation.closing import describe
from preflight_ocr.harness.isolation.scratch import own_folder
from preflight_ocr.harness.judging.findings import Level
from preflight_ocr.harness.verdict.binding import Binding
from preflight_ocr.harness.verdict.contracts import derive, judge_all
from preflight_ocr.harness.verdict.gate import Waiver
from preflight_ocr.harness.verdict.report import Report

NOT_ASKED = Unknown(reason="not run: --level read reads and runs nothing")


def check(
    config: Config,
    *,
    level: Level = "ran",
    trust: bool = False,
    only: tuple[str, ...] = (),
    waivers: tuple[Waiver, ...] = (),
    seconds: float | None = None,
    illustrated: bool = False,
    network: bool = False,
    keeps: bool = False,
    reuses: bool = False,
    writes: tuple[str, ...] = (),
    progress: Progress = lambda message: None,
    sandbox: Sandbox | None = None,
) -> Report:
    """Look, judge, decide. The wishes are those of `Asked`; `progress` is told what is being done.

    `sandbox` is one already open, for whoever checks several projects and wants to pay for its imports once.
    """
    asked = Asked(
        level=level,
        trust=trust,
        only=only,
        waivers=waivers,
        seconds=SECONDS if seconds is None else seconds,
        illustrated=illustrated,
        network=network,
        keeps=keeps,
        reuses=reuses,
        writes=writes,
    )
    started = time.monotonic()
    # Bound before the first probe reads: what is swapped while the check runs must not be what is cleared.
    trusted = msgspec.structs.replace(config.model, trust_remote_code=trust)
    bindable = level != "read" and not only
    binding = Binding(msgspec.structs.replace(config, model=trusted), waivers) if bindable else None
    seen = look(config, asked, progress=progress, sandbox=sandbox)
    progress("judging")
    return judge(config, asked, seen, binding).time(time.monotonic() - started)


def judge(config: Config, asked: Asked, seen: Seen, binding: Binding | None = None) -> Report:
    """The report on what was seen. `binding` is what was bound before the look; without it nothing can be cleared."""
    timings = dict(seen.timings)
    with measure(timings, "judge"):
        judgements = judge_all(derive(seen.facts, only=asked.only), seen.facts)
    report = Report.build(
        seen.facts,
        judgements,
        config=config.source,
        level=asked.level,
        timings=timings,
        waivers=asked.waivers,
        lines=find_lines(config),
        folders=(config.subject.path, *((directory,) if (directory := config.model.directory) else ())),
        bound=binding.settle(set(seen.touched)) if binding else None,
        openings=seen.openings,
        reused=seen.reused,
    )
    shown = seen.illustrations
    return report if shown is None else msgspec.structs.replace(report, illustrations=shown)


def find_lines(config: Config) -> dict[str, int]:
    """Key -> its line in the YAML. Where only a trainer is named, what is said of a collator is said of the trainer's."""
    lines = config.lines
    return {"subject.collator": lines["subject.trainer"], **lines} if "subject.trainer" in lines else lines


def look(
    config: Config,
    asked: Asked,
    *,
    progress: Progress = lambda message: None,
    sandbox: Sandbox | None = None,
    known: Known | None = None,
    together: int | None = None,
) -> Seen:
    """Everything that is asked for: read first, then run.

    `known` is what need not be run again. `together` is how many children run at a time, as many as there are cores where
    it is None.
    """
    timings: dict[str, float] = {}
    if asked.reads_only:
        facts = read(config, progress=progress, timings=timings)
        reason = NOT_ASKED if asked.level == "read" else NOT_NEEDED
        return Seen(facts=_without_runs(facts, reason), timings=timings)
    with measure(timings, "recall"):
        recall = open_recall(config, asked)
    spared = frozenset((*(known.children if known else ()), *(recall.checked if recall else ())))
    needs_none = all(child.name in spared for child in choose_children(config, asked)) and asked.level != "gpu"
    with own_folder() as place, _use(sandbox, config, asked, needs_none=needs_none) as opened:
        facts = read(config, progress=progress, timings=timings)
        if (refusal := _forbid(config, facts, asked)) is not None:
            return Seen(facts=_without_runs(facts, refusal), timings=timings)
        answers = Answers(values={}, seconds={})
        if opened is not None:
            answers = run_children(config, asked, opened, place, progress=progress, spared=spared, together=together)
        timings |= {f"run {name}": seconds for name, seconds in answers.seconds.items()}
        closed = None if opened is None else opened.closed
        openings = () if closed is None else tuple(describe(closed))
        values, touched, reused = answers.values, answers.touched, {}
        if recall is not None:
            wanted = {child.name for child in choose_children(config, asked)}
            reused = {name: when for name, when in recall.checked.items() if name in wanted}
            values = {**recall.values, **answers.values}
            touched |= recall.touched
            recall.keep(answers, openings, place)
            openings = tuple(dict.fromkeys((*openings, *recall.openings)))
        facts = gather(facts, values, known)
        unused = Unknown(reason=f"--level {asked.level} does not use an accelerator")
        obstacle = find_obstacle(facts) if asked.level == "gpu" else unused
        if obstacle is None:
            progress("running: accelerator")
            limits = limit(asked.seconds)
            alone = msgspec.structs.replace(limits, memory_bytes=limits.memory_bytes * count_together())
            facts, timings["run accelerator"] = look_at_device(
                config, facts, place, trust=asked.trust, limits=alone, tell=tell
            )
        else:
            facts = msgspec.structs.replace(facts, device=obstacle, accelerator=obstacle)
        return Seen(
            facts=facts,
            timings=timings,
            touched=touched,
            openings=openings,
            illustrations=read_illustrations(values) if asked.illustrated else None,
            reused=reused,
        )


def _forbid(config: Config, facts: Facts, asked: Asked) -> Unknown | None:
    """Why nothing may or can be run; None where it may."""
    if isinstance(facts.repository, Unknown):
        return facts.repository
    if absent := tell_absent("running a model", RUNNING):
        return Unknown(reason=absent)
    if is_foreign(config, facts.repository) and not asked.trust:
        return Unknown(reason=NO_TRUST)
    if config.subject.dataset is not None or config.subject.trainer is not None:  # rows that no file of ours names
        return None
    return facts.dataset if isinstance(facts.dataset, Unknown) else _require_rows(facts.dataset)


def _require_rows(dataset: Dataset) -> Unknown | None:
    return None if dataset.splits else Unknown(reason="data.train_path is not set, so there is no row to run")


def _without_runs(facts: Facts, reason: Unknown) -> Facts:
    return msgspec.structs.replace(facts, **dict.fromkeys((*RAN, "device", "accelerator"), reason))


@contextmanager
def _use(sandbox: Sandbox | None, config: Config, asked: Asked, *, needs_none: bool) -> Iterator[Sandbox | None]:
    """The sandbox that was given, or one of our own; None where no child is to be run."""
    if sandbox is not None or needs_none:
        yield sandbox
        return
    with open_sandbox(named=config.subject.environment, network=asked.network) as own:
        yield own
