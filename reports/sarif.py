"""The report as SARIF 2.1.0, so that a code host or an editor shows each finding beside the line it is about.

Root causes are results, waived ones suppressed results. A contract that was not looked at is a notification of the run and
never a result that passes. Fingerprints are made of the code and of what stands at the line, not of its number or of what
was measured, so that a finding is recognised in the next run.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from preflight_ocr.harness import atomic
from preflight_ocr.harness.diagnoses import catalogue
from preflight_ocr.harness.judging.findings import Finding, Severity
from preflight_ocr.harness.judging.header import FAMILIES, DiagnosisModule
from preflight_ocr.harness.verdict.contracts import root_causes
from preflight_ocr.harness.verdict.report import Report
from preflight_ocr.reports import sarif_format as sarif
from preflight_ocr.reports.places import Root, Spot, locate, name_config

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT = "preflightCause/v1"

LEVELS: Mapping[Severity, sarif.Level] = {
    Severity.BLOCKER: "error",
    Severity.MAJOR: "warning",
    Severity.MINOR: "note",
    Severity.NOTE: "note",
}

_BASES: Mapping[Root, tuple[str, str]] = {
    "project": ("%SRCROOT%", "The root of the project."),
    "parts": ("PARTS", "The folder of your own parts, outside the project."),
    "model": ("MODEL", "The model's own folder, outside the project."),
}
_PROBLEMS: Mapping[sarif.Level, str] = {"error": "error", "warning": "warning", "note": "recommendation"}
_NOTICES: Mapping[str, tuple[sarif.Level, str]] = {
    "not-looked-at": ("warning", "A contract could not be looked at, so nothing is known. It is not a pass."),
    "judging-failed": ("error", "Our own judging failed, so nothing is known."),
    "blind": ("error", "Something that decides could not be looked at, so nothing is cleared."),
    "partial": ("note", "Only a part was asked for, so nothing is cleared."),
    "not-applicable": ("note", "A contract says nothing about this setup."),
    "open": ("warning", "Something was open to foreign code while it ran."),
    "waiver": ("warning", "A waiver needs attention."),
}
_LINK = re.compile(r"\[(?=[^\[\]]*\]\()")


def render(report: Report) -> bytes:
    """UTF-8 JSON, indented, ending in a newline."""
    log = sarif.Log(schema=SCHEMA, version="2.1.0", runs=(_describe_run(report),))
    return msgspec.json.format(msgspec.json.encode(log), indent=2) + b"\n"


def write(report: Report, path: Path) -> None:
    """Write the log in one step. Raises OSError where the folder cannot be written."""
    atomic.write_bytes(path, render(report))


def _describe_run(report: Report) -> sarif.Run:
    modules = {module.DIAGNOSIS.code: module for module in catalogue()}
    modules |= {j.contract.diagnosis.code: j.contract.module for j in report.judgements}
    codes = {code: index for index, code in enumerate(modules)}
    results = tuple(_list_results(report, codes))
    return sarif.Run(
        tool=sarif.Tool(
            driver=sarif.Driver(
                name="Preflight",
                full_name="Preflight: checks before a vision-language model is fine-tuned",
                semantic_version=_find_version(),
                rules=tuple(_describe_rule(module) for module in modules.values()),
                notifications=tuple(
                    sarif.Descriptor(id=name, short_description=_say(text), default_configuration=_at(level))
                    for name, (level, text) in _NOTICES.items()
                ),
            )
        ),
        # Two configurations of one repository are told apart by what stands before the last slash.
        automation_details=sarif.AutomationDetails(id=f"preflight/{name_config(report)}/"),
        invocations=(
            sarif.Invocation(
                execution_successful=not (report.crashed or report.blind),
                exit_code=report.exit_code,
                tool_execution_notifications=tuple(_list_notices(report, codes)),
                tool_configuration_notifications=tuple(_notify("waiver", p) for p in report.waiver_problems),
            ),
        ),
        original_uri_base_ids={name: sarif.BaseLocation(description=_say(text)) for name, text in _BASES.values()},
        column_kind="unicodeCodePoints",
        results=results,
        properties={
            "verdict": report.verdict,
            "headline": report.headline,
            "why": report.reason_why,
            "open": list(report.openings),
            "level": report.level,
            "factsDigest": report.facts.digest(),
            "environment": report.environment,
        },
    )


def _describe_rule(module: DiagnosisModule) -> sarif.Rule:
    diagnosis = module.DIAGNOSIS
    page = inspect.cleandoc(module.__doc__ or "").strip() or diagnosis.contract
    title, _, rest = page.partition("\n\n")
    deeds = re.search(r"^## What it does\n(.*?)(?=\n## |\Z)", rest, re.DOTALL | re.MULTILINE)
    level = LEVELS[diagnosis.severity]
    return sarif.Rule(
        id=diagnosis.code,
        name=diagnosis.name.title().replace("_", ""),
        short_description=_say(" ".join(title.split())),
        full_description=_say(" ".join((deeds.group(1) if deeds else diagnosis.contract).split())),
        help=sarif.Message(text=page, markdown=page),  # a page has no placeholders, and its code is to be copied
        default_configuration=_at(level),
        properties={
            "tags": [FAMILIES.get(diagnosis.family, diagnosis.family), diagnosis.basis.value],
            "contract": diagnosis.contract,
            "problem.severity": _PROBLEMS[level],
        },
    )


def _find_version() -> str:
    """Ours; a name of its own where it runs from sources that nobody installed."""
    try:
        return importlib.metadata.version("preflight-ocr")
    except importlib.metadata.PackageNotFoundError:
        return "0+sources"


def _list_results(report: Report, codes: Mapping[str, int]) -> Iterator[sarif.Result]:
    """The root causes, worst first, then the waived ones. Of causes alike in all but their number each has its own print."""
    waivers = {waiver.code: waiver for waiver in report.waived}
    causes = [f for f in root_causes(report.judgements) if f.code in waivers]
    seen: dict[str, int] = {}
    for finding in (*report.findings, *causes):
        spots = locate(finding, report)
        print_ = _take_fingerprint(finding, spots[0])
        seen[print_] = seen.get(print_, 0) + 1
        waiver = waivers.get(finding.code)
        suppression = waiver and sarif.Suppression(
            kind="external",
            status="accepted",
            justification=f"waived {waiver.describe()}",
        )
        yield sarif.Result(
            rule_id=finding.code,
            rule_index=codes[finding.code],
            level=LEVELS[finding.severity],
            message=_say(_word(finding)),
            locations=(_show(spots[0]),),
            related_locations=tuple(_show(spot, message=_say(spot.code or "here as well")) for spot in spots[1:]),
            partial_fingerprints={FINGERPRINT: f"{print_}:{seen[print_]}"},
            suppressions=(suppression,) if suppression else (),
            properties={
                "severity": finding.severity.value,
                "basis": finding.basis.value,
                "evidence": list(finding.evidence),
                "snippet": finding.fix.snippet,
                "consequences": list(finding.consequences),
            },
        )


def _word(finding: Finding) -> str:
    """What a reader gets beside the line: what was seen, what to do, where to read more."""
    lines = [finding.summary, f"Fix: {finding.fix.instruction}"]
    if finding.fix.snippet:
        lines.append(finding.fix.snippet)
    if finding.consequences:
        lines.append(f"Also explains {', '.join(finding.consequences)}.")
    return "\n".join([*lines, f"More: preflight explain {finding.code}"])


def _take_fingerprint(finding: Finding, spot: Spot) -> str:
    said = (finding.code, spot.root, spot.uri, spot.key or " ".join(spot.code.split()))
    return hashlib.sha256("\0".join(said).encode("utf-8", "replace")).hexdigest()[:32]


def _show(spot: Spot, message: sarif.Message | None = None) -> sarif.Location:
    snippet = sarif.ArtifactContent(text=spot.code) if spot.code else None
    return sarif.Location(
        physical_location=sarif.PhysicalLocation(
            artifact_location=sarif.ArtifactLocation(uri=spot.uri, uri_base_id=_BASES[spot.root][0]),
            region=sarif.Region(start_line=spot.line, snippet=snippet),
        ),
        logical_locations=(sarif.LogicalLocation(fully_qualified_name=spot.key, kind="member"),) if spot.key else (),
        message=message,
    )


def _list_notices(report: Report, codes: Mapping[str, int]) -> Iterable[sarif.Notification]:
    if report.verdict in ("blind", "partial"):
        yield _notify(report.verdict, report.reason_why)
    for opening in report.openings:
        yield _notify("open", opening)
    for identity, error in report.crashed.items():
        yield _notify("judging-failed", f"{identity}: {error}", identity.partition("-")[0], codes)
    for reason, identities in report.skipped.items():
        for identity in identities:
            yield _notify("not-looked-at", f"{identity}: {reason}", identity.partition("-")[0], codes)
    for reason, identities in report.not_applicable.items():
        for identity in identities:
            yield _notify("not-applicable", f"{identity}: {reason}", identity.partition("-")[0], codes)


def _notify(kind: str, text: str, code: str = "", codes: Mapping[str, int] | None = None) -> sarif.Notification:
    return sarif.Notification(
        level=_NOTICES[kind][0],
        message=_say(text),
        descriptor=sarif.Reference(id=kind, index=list(_NOTICES).index(kind)),
        associated_rule=sarif.Reference(id=code, index=codes[code]) if code and codes else None,
    )


def _at(level: sarif.Level) -> sarif.Configuration:
    return sarif.Configuration(level=level)


def _say(text: str) -> sarif.Message:
    return sarif.Message(text=_escape(text))


def _escape(text: str) -> str:
    """As a plain text message is written: what looks like an embedded link (3.11.6) is none, braces are doubled."""
    return _LINK.sub(r"\\[", text.replace("{", "{{").replace("}", "}}"))
