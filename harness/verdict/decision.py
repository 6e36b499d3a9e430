"""The one place that says what a check ends with: from all outcomes to one verdict, its exit code and its headline.

`RULES` are looked through in their order and the first that holds decides. The terminal, the exit code, every writer and the
gate take the verdict from here; docs/generate.py prints the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Broken, Crashed, Finding, Kept, Level, Severity, Skipped
from preflight_ocr.harness.verdict.contracts import Judgement

Verdict = Literal["clear", "partial", "refused", "blind"]
Tone = Literal["clear", "partial", "major", "refused", "blind"]

MEANINGS: Mapping[Verdict, str] = {
    "clear": "every essential contract was looked at, nothing crashed, no child died, and no BLOCKER stands",
    "partial": "nothing that refuses, but only a part was asked for (`--level read`, `--only`): never a clearance",
    "refused": "a BLOCKER stands",
    "blind": "something that decides could not be looked at, so nothing is cleared",
}

ESSENTIAL: Mapping[Level, Mapping[str, str]] = {
    "read": {"missing_image_file": "rows"},
    "ran": {
        "missing_image_file": "rows",
        "dropped_rows": "rows",
        "failing_collator": "collator",
        "failing_batch": "forward",
        "failing_step": "step",
    },
    "gpu": {
        "missing_image_file": "rows",
        "dropped_rows": "rows",
        "failing_collator": "collator",
        "failing_batch": "forward",
        "failing_step": "step",
        "failing_on_card": "step on the card",
    },
}
"""Level -> name of the diagnosis -> what it looks at. None of these may be skipped where it was asked for."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules look at: `standing` are the root causes that no waiver covers, `changed` is what did so meanwhile."""

    judgements: tuple[Judgement, ...]
    standing: tuple[Finding, ...]
    facts: Facts
    level: Level
    changed: tuple[str, ...]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. `why` gives the reason in this case, "" where the rule does not hold."""

    when: str
    verdict: Verdict
    exit_code: int
    why: Callable[[Case], str]


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """What the first rule that holds says, and why."""

    verdict: Verdict
    exit_code: int
    reason: str


def settle(case: Case) -> Ruling:
    """The ruling of the first rule that holds; the last one always does."""
    for rule in RULES:
        if reason := rule.why(case):
            return Ruling(verdict=rule.verdict, exit_code=rule.exit_code, reason=reason)
    raise AssertionError("the last rule always holds")


def list_rules() -> tuple[tuple[str, str, str], ...]:
    """(when, verdict, exit code) of every rule in their order, for the docs."""
    return tuple((rule.when, rule.verdict, str(rule.exit_code)) for rule in RULES)


def find_dead(facts: Facts) -> Unknown | None:
    """The reason that a child left which ended without an answer; None where each that was started has answered."""
    sections = [getattr(facts, name) for name in facts.__struct_fields__]
    if not isinstance(facts.learning, Unknown):
        sections.append(facts.learning.round_trip)
    return next((section for section in sections if isinstance(section, Unknown) and section.died), None)


def _find_worst(case: Case, severity: Severity) -> str:
    found = [finding.code for finding in case.standing if finding.severity is severity]
    return f"{severity.value}: {', '.join(found)}" if found else ""


def _find_change(case: Case) -> str:
    return f"changed while it was checked: {', '.join(case.changed)}; run the check again" if case.changed else ""


def _find_crash(case: Case) -> str:
    crashed = [j for j in case.judgements if isinstance(j.outcome, Crashed)]
    if not crashed:
        return ""
    first = crashed[0]
    assert isinstance(first.outcome, Crashed)
    return (
        f"{len(crashed)} of {len(case.judgements)} contracts crashed, first {first.contract.id}: {first.outcome.error}"
    )


def _find_dead(case: Case) -> str:
    dead = find_dead(case.facts)
    return f"a part of the check ended without an answer: {dead.reason}" if dead else ""


def _find_unread(case: Case) -> str:
    repository = case.facts.repository
    return f"the model could not be read: {repository.reason}" if isinstance(repository, Unknown) else ""


def _find_nothing(case: Case) -> str:
    looked = any(isinstance(j.outcome, Kept | Broken) for j in case.judgements)
    return "" if looked else "nothing could be judged"


def _find_unseen(case: Case) -> str:
    """The essential contracts that were asked for and not looked at."""
    essential = ESSENTIAL[case.level]
    unseen = [
        (essential[j.contract.diagnosis.name], j.contract.id, j.outcome.reason)
        for j in case.judgements
        if j.contract.diagnosis.name in essential and isinstance(j.outcome, Skipped)
    ]
    if not unseen:
        return ""
    parts = ", ".join(dict.fromkeys(part for part, _, _ in unseen))
    return f"not looked at: {parts} ({unseen[0][1]}: {unseen[0][2]})"


def _find_part(case: Case) -> str:
    if case.level == "read":
        return "only files were read: nothing of the model, the collator or a step was run"
    asked = {j.contract.diagnosis.name for j in case.judgements}
    missing = dict.fromkeys(part for name, part in ESSENTIAL[case.level].items() if name not in asked)
    return f"only some contracts were asked for, without: {', '.join(missing)}" if missing else ""


def _and_major(why: Callable[[Case], str]) -> Callable[[Case], str]:
    return lambda case: _find_worst(case, Severity.MAJOR) if why(case) else ""


def _always(case: Case) -> str:
    return "every essential contract was looked at, nothing crashed, and nothing above MINOR stands"


RULES = (
    Rule(
        when="a BLOCKER stands that no waiver covers",
        verdict="refused",
        exit_code=12,
        why=lambda case: _find_worst(case, Severity.BLOCKER),
    ),
    Rule(when="what was checked changed while it was checked", verdict="blind", exit_code=3, why=_find_change),
    Rule(when="a contract crashed", verdict="blind", exit_code=3, why=_find_crash),
    Rule(when="a child ended without an answer", verdict="blind", exit_code=3, why=_find_dead),
    Rule(when="the model's files could not be read", verdict="blind", exit_code=3, why=_find_unread),
    Rule(when="no contract could be looked at", verdict="blind", exit_code=3, why=_find_nothing),
    Rule(
        when="an essential contract of this level was not looked at",
        verdict="blind",
        exit_code=3,
        why=_find_unseen,
    ),
    Rule(
        when="only a part was asked for (`--level read`, `--only`), and a MAJOR stands",
        verdict="partial",
        exit_code=11,
        why=_and_major(_find_part),
    ),
    Rule(
        when="only a part was asked for (`--level read`, `--only`)",
        verdict="partial",
        exit_code=0,
        why=_find_part,
    ),
    Rule(
        when="a MAJOR stands",
        verdict="clear",
        exit_code=11,
        why=lambda case: _find_worst(case, Severity.MAJOR),
    ),
    Rule(when="none of these", verdict="clear", exit_code=0, why=_always),
)


def head(verdict: Verdict, findings: Iterable[Finding], *, level: Level) -> str:
    """The first words of a report: the verdict, or the severity where that says more. Never CLEAR beside a MAJOR."""
    findings = tuple(findings)
    counts = [(s.value, sum(f.severity is s for f in findings)) for s in Severity]
    said = ", ".join(f"{n} {name}" for name, n in counts if n)
    if verdict in ("refused", "blind"):
        return f"{verdict.upper()}: {said or 'no findings'}"
    if verdict == "partial":
        where = "BY READING" if level == "read" else "IN WHAT WAS ASKED FOR"
        return f"FOUND {where}: {said}" if said else f"NOTHING FOUND {where}"
    has_major = any(f.severity is Severity.MAJOR for f in findings)
    return said if has_major else f"CLEAR: {said or 'no findings'}"


def choose_tone(verdict: Verdict, findings: Iterable[Finding]) -> Tone:
    """What colour the headline has: amber for a MAJOR, whatever the verdict allows."""
    if verdict in ("clear", "partial") and any(f.severity is Severity.MAJOR for f in findings):
        return "major"
    return verdict
