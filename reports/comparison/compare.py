"""Two documents that `preflight check --json` wrote, compared finding by finding and contract by contract.

A finding that is gone was fixed only where its contract was looked at again and holds. Where it was not, nothing is known:
that is said as loudly as a contract that broke.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from preflight_ocr.harness.judging.findings import Severity
from preflight_ocr.reports.json_writer import Document, Ending, FindingEntry, OutcomeEntry

Stage = Ending | Literal["absent"]


class New(msgspec.Struct, frozen=True, kw_only=True):
    """A finding of the second document alone. `before` is how its contract ended in the first, `reason` why."""

    finding: FindingEntry
    before: Stage
    reason: str


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """A finding of the first document alone. `after` is how its contract ended in the second, `reason` why."""

    finding: FindingEntry
    after: Stage
    reason: str


class Stayed(msgspec.Struct, frozen=True, kw_only=True):
    """A finding of both, as it was and as it is."""

    before: FindingEntry
    after: FindingEntry

    @property
    def added(self) -> tuple[str, ...]:
        """Keys of the YAML file that it was not about before; empty where the older document names none."""
        return tuple(k for k in self.after.keys if k not in self.before.keys) if self.before.keys else ()

    @property
    def is_worse(self) -> bool:
        """Whether its severity went up, or it is about more than before."""
        return bool(self.added) or Severity(self.after.severity).rank < Severity(self.before.severity).rank


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A contract that ended otherwise. `reason` is that of the second ending, or of the first where the second has none."""

    id: str
    before: Stage
    after: Stage
    reason: str

    @property
    def code(self) -> str:
        """The diagnosis' code."""
        return self.id.partition("-")[0]

    @property
    def is_loud(self) -> bool:
        """Whether it is worse than before: broken, or no longer known. Not looked at is never a pass."""
        if self.after in ("kept", "not applicable"):
            return False
        return self.after == "broken" or self.before in ("kept", "broken")


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A package or a part of the machine that is not the same; an empty string where it was not there."""

    name: str
    before: str
    after: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a project between two checks, which are called by their files' names.

    Every finding of either document is in exactly one of `new`, `worse`, `stayed`, `still_broken`, `unknown`, `moot` and
    `fixed`. `told` is when and by which release each document was written, and how long its check took; empty where it does
    not say.
    """

    names: tuple[str, str]
    verdicts: tuple[str, str]
    new: tuple[New, ...]
    worse: tuple[Stayed, ...]
    stayed: tuple[Stayed, ...]
    still_broken: tuple[Gone, ...]
    """No finding of its own any more, and still broken: waived, or explained by another one."""
    unknown: tuple[Gone, ...]
    """No longer found because nobody looked."""
    moot: tuple[Gone, ...]
    """No longer found because its contract does not apply any more."""
    fixed: tuple[Gone, ...]
    changes: tuple[Change, ...]
    environment: tuple[Version, ...]
    same_facts: bool
    told: tuple[str, str] = ("", "")

    @property
    def lost(self) -> tuple[Change, ...]:
        """The contracts that were known and no longer are, because nobody looks any more."""
        seen = ("kept", "broken", "not applicable")
        return tuple(c for c in self.changes if c.before in ("kept", "broken") and c.after not in seen)

    @property
    def idle(self) -> tuple[Change, ...]:
        """The contracts that were judged and no longer apply, because the setup is another one: known, and no loss."""
        return tuple(c for c in self.changes if c.before in ("kept", "broken") and c.after == "not applicable")

    @property
    def lost_for(self) -> dict[str, tuple[Change, ...]]:
        """The lost ones by the reason why nobody looks any more, the most frequent reason first."""
        reasons: dict[str, list[Change]] = {}
        for change in self.lost:
            reasons.setdefault(change.reason or "the contract was not among those that were judged", []).append(change)
        return {reason: tuple(reasons[reason]) for reason in sorted(reasons, key=lambda r: (-len(reasons[r]), r))}

    @property
    def exit_code(self) -> int:
        """12, 11 or 0 by the worst of what is new or became worse, as `preflight check` has it for all findings."""
        severities = {n.finding.severity for n in self.new} | {s.after.severity for s in self.worse}
        return 12 if "BLOCKER" in severities else 11 if "MAJOR" in severities else 0


def compare(before: Document, after: Document, *, names: tuple[str, str] = ("before", "after")) -> Comparison:
    """What lies between the two; `names` are what they are called in the texts."""
    first = {outcome.id: outcome for outcome in before.outcomes}
    second = {outcome.id: outcome for outcome in after.outcomes}
    pairs, gone, new = _match(before.findings, after.findings)
    left = [_tell_gone(finding, second) for finding in gone]
    return Comparison(
        names=names,
        verdicts=(before.verdict, after.verdict),
        new=tuple(_list_new(new, first)),
        worse=tuple(pair for pair in pairs if pair.is_worse),
        stayed=tuple(pair for pair in pairs if not pair.is_worse),
        still_broken=tuple(g for g in left if g.after == "broken"),
        unknown=tuple(g for g in left if g.after not in ("broken", "kept", "not applicable")),
        moot=tuple(g for g in left if g.after == "not applicable"),
        fixed=tuple(g for g in left if g.after == "kept"),
        changes=tuple(_list_changes(first, second)),
        environment=tuple(_list_versions(before.environment, after.environment)),
        same_facts=before.facts_digest == after.facts_digest,
        told=(_tell_when(before), _tell_when(after)),
    )


def _tell_when(document: Document) -> str:
    if document.checked is None or document.seconds is None:
        return ""
    by = f" by Preflight {document.preflight}" if document.preflight else ""
    return f"{document.checked:%Y-%m-%d %H:%M} UTC in {document.seconds:.0f} s{by}"


def _match(
    before: Iterable[FindingEntry], after: Iterable[FindingEntry]
) -> tuple[list[Stayed], list[FindingEntry], list[FindingEntry]]:
    """Pairs of one code: those with the same words first, then in their order, since figures change from run to run."""
    waiting = list(before)
    pairs: list[Stayed] = []
    left: list[FindingEntry] = []
    for finding in after:
        alike = next((w for w in waiting if w.code == finding.code and w.summary == finding.summary), None)
        if alike is None:
            left.append(finding)
            continue
        waiting.remove(alike)
        pairs.append(Stayed(before=alike, after=finding))
    new: list[FindingEntry] = []
    for finding in left:
        same = next((w for w in waiting if w.code == finding.code), None)
        if same is None:
            new.append(finding)
            continue
        waiting.remove(same)
        pairs.append(Stayed(before=same, after=finding))
    pairs.sort(key=lambda pair: (Severity(pair.after.severity).rank, pair.after.code))
    return pairs, waiting, new


def _list_new(new: Iterable[FindingEntry], first: dict[str, OutcomeEntry]) -> Iterator[New]:
    for finding in sorted(new, key=lambda f: (Severity(f.severity).rank, f.code)):
        outcome = first.get(_identify(finding))
        yield New(
            finding=finding,
            before=outcome.outcome if outcome else "absent",
            reason=outcome.reason if outcome else "",
        )


def _tell_gone(finding: FindingEntry, second: dict[str, OutcomeEntry]) -> Gone:
    outcome = second.get(_identify(finding))
    if outcome is None:
        return Gone(finding=finding, after="absent", reason="the contract was not among those that were judged")
    return Gone(finding=finding, after=outcome.outcome, reason=outcome.reason)


def _list_changes(first: dict[str, OutcomeEntry], second: dict[str, OutcomeEntry]) -> Iterator[Change]:
    """The loud ones first, each kind in the order of the codes."""
    changes = []
    for identity in sorted({*first, *second}):
        was, now = first.get(identity), second.get(identity)
        before: Stage = was.outcome if was else "absent"
        after: Stage = now.outcome if now else "absent"
        if before == after:
            continue
        reason = (now.reason if now else "") or (was.reason if was and after == "kept" else "")
        changes.append(Change(id=identity, before=before, after=after, reason=reason))
    yield from sorted(changes, key=lambda change: not change.is_loud)


def _list_versions(first: dict[str, str], second: dict[str, str]) -> Iterator[Version]:
    for name in dict.fromkeys((*first, *second)):
        before, after = first.get(name, ""), second.get(name, "")
        if before != after:
            yield Version(name=name, before=before, after=after)


def _identify(finding: FindingEntry) -> str:
    return f"{finding.code}-{finding.name}"
