"""Facts -> contracts -> outcomes. A contract is one diagnosis asked of one model."""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec

from preflight_ocr.harness.diagnoses import catalogue
from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import (
    Broken,
    Crashed,
    Finding,
    Kept,
    NotApplicable,
    Outcome,
    Skipped,
)
from preflight_ocr.harness.judging.header import Diagnosis, DiagnosisModule, read_hooks


class Contract(msgspec.Struct, frozen=True):
    """One promise that this model, data and configuration should keep."""

    module: DiagnosisModule

    @property
    def diagnosis(self) -> Diagnosis:
        """The header behind the contract."""
        return self.module.DIAGNOSIS

    @property
    def id(self) -> str:
        """`CODE-name`, stable across runs: the name of the test item."""
        return f"{self.diagnosis.code}-{self.diagnosis.name}"


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A contract's outcome and how long judging took, in seconds."""

    contract: Contract
    outcome: Outcome
    seconds: float


def choose(only: Iterable[str]) -> tuple[Diagnosis, ...]:
    """The diagnoses with the given codes, names or code families, in any case; all of them where none is given."""
    wanted = {o.lower() for o in only}
    known = (m.DIAGNOSIS for m in catalogue())
    return tuple(d for d in known if not wanted or wanted & {d.code.lower(), d.name, d.family.lower()})


def derive(facts: Facts, *, only: Iterable[str] = ()) -> tuple[Contract, ...]:
    """The contracts of the diagnoses that `choose(only)` gives, those among them that do not apply to this setup as well."""
    chosen = choose(only)
    return tuple(Contract(m) for m in catalogue() if m.DIAGNOSIS in chosen)


def _applies(module: DiagnosisModule, facts: Facts) -> bool | Crashed:
    """Whether the contract makes sense for these facts. The same door as judging: what raises here must not be lost."""
    try:
        return read_hooks(module).applies(facts)
    except Exception as error:  # noqa: BLE001
        return Crashed(f"{type(error).__name__}: {error}")


def judge(contract: Contract, facts: Facts) -> Outcome:
    """Kept only when every needed fact is known and `examine` found nothing."""
    applies = _applies(contract.module, facts)
    if isinstance(applies, Crashed):
        return applies
    if not applies:
        return NotApplicable(f"it is a matter only where {contract.diagnosis.where}")
    for path in contract.diagnosis.needs:
        if unknown := facts.unknown_on(path):
            return Crashed(unknown.reason) if unknown.failed else Skipped(unknown.reason)
    # One of the two doors: whatever our own judging does, it must end as an outcome and never as a pass.
    try:
        if reason := read_hooks(contract.module).excuse(facts):
            return Skipped(reason)
        findings = tuple(_place(finding, contract.diagnosis, facts) for finding in contract.module.examine(facts))
    except Exception as error:  # noqa: BLE001
        return Crashed(f"{type(error).__name__}: {error}")
    return Broken(findings) if findings else Kept()


def _place(finding: Finding, diagnosis: Diagnosis, facts: Facts) -> Finding:
    """The finding at the statements of the user's collator that make what it is about, where it has no place of its own."""
    if finding.places or not diagnosis.entries or isinstance(facts.subject, Unknown):
        return finding
    roles = {} if isinstance(facts.collator, Unknown) else facts.collator.roles
    names = [
        name for entry in diagnosis.entries for name in (*(n for n, role in roles.items() if role == entry), entry)
    ]
    makers = facts.subject.batch_entries
    return msgspec.structs.replace(finding, places=tuple(site for name in names for site in makers.get(name, ())))


def judge_all(contracts: Iterable[Contract], facts: Facts) -> tuple[Judgement, ...]:
    """Judge each contract, then mark those that are only consequences of another finding."""
    judged = []
    for contract in contracts:
        started = time.perf_counter()
        outcome = judge(contract, facts)
        judged.append(Judgement(contract=contract, outcome=outcome, seconds=time.perf_counter() - started))
    return tuple(_explain(judged))


def root_causes(judgements: Iterable[Judgement]) -> tuple[Finding, ...]:
    """The findings nothing else explains, worst first, each with the codes it explains."""
    judgements = tuple(judgements)
    broken = [j.outcome for j in judgements if isinstance(j.outcome, Broken)]
    roots = [f for b in broken if not b.explained_by for f in b.findings]
    behind = {f.code: [b.findings[0].code for b in broken if f.code in b.explained_by] for f in roots}
    named = [msgspec.structs.replace(f, consequences=tuple(dict.fromkeys(behind[f.code]))) for f in roots]
    return tuple(sorted(named, key=lambda f: (f.severity.rank, f.code)))


def _explain(judged: list[Judgement]) -> Iterable[Judgement]:
    """Mark consequences. A cause that is itself explained passes its claim on to its own cause."""
    found = {j.contract.diagnosis.name: j.contract.diagnosis for j in judged if isinstance(j.outcome, Broken)}
    for judgement in judged:
        name = judgement.contract.diagnosis.name
        owners = _list_owners(judgement.outcome)
        causes = tuple(d.code for d in found.values() if name in d.explains or d.name in owners)
        if isinstance(judgement.outcome, Broken) and causes:
            yield msgspec.structs.replace(judgement, outcome=Broken(judgement.outcome.findings, causes))
        else:
            yield judgement


def _list_owners(outcome: Outcome) -> frozenset[str]:
    """The diagnoses that own the cause of all that was found; none where a finding stands by itself."""
    if not isinstance(outcome, Broken) or not all(finding.owners for finding in outcome.findings):
        return frozenset()
    return frozenset(owner for finding in outcome.findings for owner in finding.owners)
