"""What the laws say by themselves: the facts of a planted project, judged with every other diagnosis switched off.

A law that is broken in a project with several faults may be broken by any of them. It counts for a fault there only where
that fault has to be named by it; all that a fault breaks is seen in one model, where it is planted alone.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

import msgspec

from preflight_ocr.fixtures.corpus import find_faults
from preflight_ocr.fixtures.corpus.models import find_miniature
from preflight_ocr.harness.commands.corpus.trials import Laws, Run, Trial, is_pattern
from preflight_ocr.harness.diagnoses import catalogue, find
from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Broken, Crashed, Kept
from preflight_ocr.harness.judging.laws import LAWS
from preflight_ocr.harness.verdict.contracts import Judgement, derive, judge_all


def list_law_codes() -> tuple[str, ...]:
    """The codes of the diagnoses that state a law."""
    return tuple(module.DIAGNOSIS.code for module in catalogue() if module.DIAGNOSIS.law is not None)


def judge_laws(facts: Facts, *, upstream: Container[str] = ()) -> Laws:
    """The laws that do not hold in these facts, and those of which nothing could be judged.

    `upstream` are diagnoses that the installed releases deserve by themselves: they do not count. Raises RuntimeError where
    a contract crashes: that is neither found nor silent.
    """
    broken: dict[str, list[str]] = {}
    judged = set()
    for judgement in judge_all(derive(facts, only=list_law_codes()), facts):
        diagnosis, outcome = judgement.contract.diagnosis, judgement.outcome
        if isinstance(outcome, Crashed):
            raise RuntimeError(f"{judgement.contract.id} crashed: {outcome.error}")
        if isinstance(outcome, Kept | Broken):
            judged.add(diagnosis.law)
        if isinstance(outcome, Broken) and diagnosis.name not in upstream:
            broken.setdefault(diagnosis.law or "", []).append(diagnosis.name)
    return Laws(
        alone=True,
        broken={law: tuple(broken[law]) for law in LAWS if law in broken},
        unseen=tuple(law for law in LAWS if law not in judged),
    )


def add_consequences(upstream: Iterable[str], judgements: Iterable[Judgement]) -> frozenset[str]:
    """These diagnoses, and those that the whole catalogue found to be consequences of them and of nothing else.

    With the others switched off nobody would say so: an old release that pads wrongly departs from its own generation.
    """
    names = frozenset(upstream)
    codes = {module.DIAGNOSIS.code for module in map(find, names) if module is not None}
    return names | {
        judgement.contract.diagnosis.name
        for judgement in judgements
        if isinstance(judgement.outcome, Broken) and judgement.outcome.explained_by
        if codes.issuperset(judgement.outcome.explained_by)
    }


def keep_expected(laws: Laws, names: Container[str]) -> Laws:
    """What these laws say of one of several faults in a project: only what its own root causes, `names`, are."""
    kept = {law: tuple(name for name in found if name in names) for law, found in laws.broken.items()}
    return Laws(alone=False, broken={law: found for law, found in kept.items() if found}, unseen=laws.unseen)


def choose_lone(trials: Sequence[Trial]) -> list[Trial]:
    """Each fault in one model, a native one if possible: there it is planted alone for the laws. Models take turns."""
    chosen = []
    for turn, fault in enumerate(find_faults()):
        here = [trial for trial in trials if trial.faults == (fault.id,) and trial.obstacle is None]
        native = [trial for trial in here if find_miniature(trial.model).is_native] or here
        chosen += native[turn % len(native) :][:1] if native else []
    return chosen


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What the laws found of one fault: law -> models in which it broke; the models planted; whether it was seen alone."""

    fault: str
    plant: str
    named: tuple[str, ...]
    found: Mapping[str, tuple[str, ...]]
    models: tuple[str, ...]
    alone: tuple[str, ...]


def tally_faults(runs: Sequence[Run]) -> Iterator[Tally]:
    """One for each fault that was planted in any of these runs. What the healthy model breaks too does not count."""
    alarms = {
        (number, trial.model, law)
        for number, run in enumerate(runs)
        for trial in run.healthy
        if trial.laws is not None
        for law in trial.laws.broken
    }
    for fault in find_faults():
        planted = [
            (number, trial)
            for number, run in enumerate(runs)
            for trial in run.planted
            if trial.faults == (fault.id,) and trial.laws is not None
        ]
        if not planted:
            continue
        found: dict[str, dict[str, None]] = {}
        for number, trial in planted:
            for law in trial.laws.broken if trial.laws else ():
                if (number, trial.model, law) not in alarms:
                    found.setdefault(law, {})[trial.model] = None
        yield Tally(
            fault=fault.id,
            plant=fault.plant,
            named=fault.expects,
            found={law: tuple(found[law]) for law in LAWS if law in found},
            models=tuple(dict.fromkeys(trial.model for _, trial in planted)),
            alone=tuple(dict.fromkeys(trial.model for _, trial in planted if trial.laws and trial.laws.alone)),
        )


def summarise_laws(runs: Sequence[Run]) -> Iterator[str]:
    """The figures in all, a line each; nothing where no run was judged by the laws."""
    tallies = list(tally_faults(runs))
    if not tallies:
        return
    reports = _group_reports(tallies)
    found = [report for report, some in reports.items() if any(tally.found for tally in some)]
    if reports:
        missed = ", ".join(sorted(set(reports) - set(found)))
        yield (
            f"the laws alone find {len(found)} of {len(reports)} reports handed over (rep-)"
            f"{f'; not {missed}' if missed else ''}"
        )
    yield f"the laws alone find {sum(bool(tally.found) for tally in tallies)} of all {len(tallies)} planted faults"
    for kind, trials in (
        ("healthy models", [trial for run in runs for trial in run.healthy]),
        ("patterns of other people's code that are healthy", list(_list_healthy_patterns(runs))),
    ):
        looked_at = [trial for trial in trials if trial.laws is not None]
        alarms = sum(bool(trial.laws and trial.laws.broken) for trial in looked_at)
        yield f"{alarms} of {len(looked_at)} {kind} break a law"


def tabulate_laws(runs: Sequence[Run]) -> Iterator[tuple[str, ...]]:
    """A row for each law: its name, what it holds, its diagnoses, reports and faults found, false alarms, not judged."""
    tallies = list(tally_faults(runs))
    healthy = [trial for run in runs for trial in run.healthy] + list(_list_healthy_patterns(runs))
    alone = [t for run in runs for t in run.planted if t.laws is not None and t.laws.alone]
    for name, law in LAWS.items():
        codes = [m.DIAGNOSIS.code for m in catalogue() if m.DIAGNOSIS.law == name]
        found = [tally for tally in tallies if name in tally.found]
        yield (
            name,
            law.says,
            ", ".join(codes),
            str(len(_group_reports(found))),
            str(len(found)),
            str(sum(bool(t.laws and name in t.laws.broken) for t in healthy)),
            f"{sum(bool(t.laws and name in t.laws.unseen) for t in alone)} of {len(alone)}",
        )


def tabulate_reports(runs: Sequence[Run]) -> Iterator[tuple[str, ...]]:
    """A row for each fault of a report handed over: its id, what is planted, a cell for each law, models planted in."""
    for tally in tally_faults(runs):
        if tally.fault.startswith("rep-"):
            cells = (_count_models(tally.found.get(law, ())) for law in LAWS)
            yield tally.fault, tally.plant, *cells, str(len(tally.models))


def tabulate_by_laws(runs: Sequence[Run]) -> Iterator[tuple[str, ...]]:
    """A row for each fault: its id, what is planted, what names it, laws with their diagnoses, where it was alone."""
    for tally in tally_faults(runs):
        names = [m.DIAGNOSIS for m in map(find, tally.named) if m is not None]
        named = ", ".join(f"{d.code} {d.name}" for d in names)
        yield tally.fault, tally.plant, named, ", ".join(tally.found) or "none", ", ".join(tally.alone) or "-"


def tabulate_alarms(runs: Sequence[Run]) -> Iterator[tuple[str, ...]]:
    """A row for each law that a healthy project breaks: model, pattern, law, diagnoses, release of transformers."""
    for run in runs:
        for trial in (*run.healthy, *_list_healthy_patterns([run])):
            for law, names in (trial.laws.broken if trial.laws else {}).items():
                yield trial.model, ", ".join(trial.faults) or "-", law, ", ".join(names), run.versions["transformers"]


def _list_healthy_patterns(runs: Sequence[Run]) -> Iterator[Trial]:
    """Trials of other people's code in which nothing had to be named."""
    for run in runs:
        yield from (trial for trial in run.patterns if not trial.found and not trial.missed)


def _group_reports(tallies: Sequence[Tally]) -> dict[str, list[Tally]]:
    """Report -> its faults: rep-08 and rep-08-optim are one report."""
    reports: dict[str, list[Tally]] = {}
    for tally in tallies:
        if tally.fault.startswith("rep-") and not is_pattern(tally.fault):
            reports.setdefault("-".join(tally.fault.split("-")[:2]), []).append(tally)
    return reports


def _count_models(models: Sequence[str]) -> str:
    return str(len(models)) if models else "-"
