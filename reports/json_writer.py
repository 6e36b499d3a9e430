"""The report as JSON. The shape is frozen: machines read it; a new shape gets a new `schema_version`."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from preflight_ocr.harness import atomic
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.foreign.files import read_bytes
from preflight_ocr.harness.home import find_version
from preflight_ocr.harness.judging.findings import Broken, Crashed, Finding, Kept, NotApplicable, Outcome, Skipped
from preflight_ocr.harness.verdict.decision import Verdict
from preflight_ocr.harness.verdict.report import Report

Ending = Literal["kept", "broken", "skipped", "crashed", "not applicable"]

_OUTCOMES: Mapping[type[Outcome], Ending] = {
    Kept: "kept",
    Broken: "broken",
    Skipped: "skipped",
    Crashed: "crashed",
    NotApplicable: "not applicable",
}


class FixEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, and text to copy (may be empty)."""

    instruction: str
    snippet: str


class FindingEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One unwaived root cause. `keys` are the keys of the YAML file that it is about; a document of before has none."""

    code: str
    name: str
    severity: Literal["BLOCKER", "MAJOR", "MINOR", "NOTE"]
    basis: Literal["read", "ran", "gpu"]
    summary: str
    evidence: tuple[str, ...]
    fix: FixEntry
    docs: str
    keys: tuple[str, ...] = ()


class OutcomeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One contract. `reason` says why it was skipped, crashed, waived, does not apply, or of what it is a consequence."""

    id: str
    outcome: Ending
    reason: str
    seconds: float


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. `open` says what was open to foreign code, `waiver_problems` which waivers need attention.

    `preflight` is our own release, `checked` when the check began (ISO 8601, UTC), `seconds` how long it took; `reused` is
    part of the check -> when it ran, for those taken over from an earlier check. A document of version 2 has none of these.
    """

    schema_version: Literal[2, 3]
    verdict: Verdict
    headline: str
    why: str
    exit_code: int
    findings: tuple[FindingEntry, ...]
    outcomes: tuple[OutcomeEntry, ...]
    open: tuple[str, ...]
    waiver_problems: tuple[str, ...]
    facts_digest: str
    environment: dict[str, str]
    timings: dict[str, float]
    preflight: str = ""
    checked: datetime.datetime | None = None
    seconds: float | None = None
    reused: dict[str, datetime.datetime] = {}


def render(report: Report) -> bytes:
    """UTF-8 JSON, indented, ending in a newline."""
    document = Document(
        schema_version=3,
        verdict=report.verdict,
        headline=report.headline,
        why=report.reason_why,
        exit_code=report.exit_code,
        findings=tuple(_enter(finding) for finding in report.findings),
        outcomes=tuple(
            OutcomeEntry(
                id=judgement.contract.id,
                outcome=_OUTCOMES[type(judgement.outcome)],
                reason=report.reason(judgement),
                seconds=round(judgement.seconds, 6),
            )
            for judgement in report.judgements
        ),
        open=report.openings,
        waiver_problems=report.waiver_problems,
        facts_digest=report.facts.digest(),
        environment=report.environment,
        timings={phase: round(seconds, 3) for phase, seconds in report.timings.items()},
        preflight=find_version(),
        checked=report.checked,
        seconds=report.seconds,
        reused=dict(report.reused),
    )
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def write(report: Report, path: Path) -> None:
    """Write the report in one step. Raises OSError where the folder cannot be written."""
    atomic.write_bytes(path, render(report))


def read(path: Path) -> Document:
    """A document that `write` left. Raises UserError where it is not one, or of another schema version."""
    try:
        return msgspec.json.decode(read_bytes(path), type=Document)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: seen {error}; expected a report that `preflight check --json` wrote") from None


def _enter(finding: Finding) -> FindingEntry:
    return FindingEntry(
        code=finding.code,
        name=finding.name,
        severity=finding.severity.value,
        basis=finding.basis.value,
        summary=finding.summary,
        evidence=finding.evidence,
        fix=FixEntry(instruction=finding.fix.instruction, snippet=finding.fix.snippet),
        docs=finding.docs,
        keys=finding.keys,
    )
