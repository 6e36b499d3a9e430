"""The last line of a check: the one thing to do next."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from preflight_ocr.harness.judging.findings import Severity

if TYPE_CHECKING:
    from preflight_ocr.harness.config.schema import Config
    from preflight_ocr.harness.verdict.report import Report
    from preflight_ocr.reports.terminal import Detail


def say_next(
    report: Report,
    *,
    config: Config | None = None,
    words: Sequence[str] = (),
    detail: Detail = "usual",
    fixed: Collection[str] = (),
) -> None:
    """Print it, unless little is asked for."""
    if detail != "quiet":
        click.echo(f"Next: {advise(report, config=config, words=words, fixed=fixed)}")


def advise(
    report: Report, *, config: Config | None = None, words: Sequence[str] = (), fixed: Collection[str] = ()
) -> str:
    """One sentence with what to type. `config` was checked, or the command `words`; `fixed` are codes that --fix mended."""
    subject = shlex.quote(shorten(config.source)) if config is not None else f"-- {shlex.join(words)}"
    left = [f for f in report.findings if f.code not in fixed]
    worst = next((f for f in left if f.severity in (Severity.BLOCKER, Severity.MAJOR)), None)
    if worst is None and fixed:
        return "give the same command again, without --fix: what was mended is checked then"
    if worst is not None:
        more = len(left) - 1
        rest = f" ({more} more after it)" if more else ""
        how = f"`preflight explain {worst.code}` says how"
        return f"fix {worst.code} {worst.name}{rest}, {how}, and give the same command again"
    if report.waiver_problems:
        return "put right the waivers that need attention, and give the same command again"
    if report.crashed:
        return "report this crash with the file that --json writes; what it hid is not known"
    if report.verdict == "blind":
        from preflight_ocr.harness.check.trust import NO_TRUST

        if NO_TRUST in report.reason_why:
            return f"read the code that would run, then type `preflight check {subject} --trust`"
        return "see to what `Why blind` names, and give the same command again"
    if report.verdict == "partial":
        how = "run it too" if report.level == "read" else "look at all of it"
        if words:
            return f"type `preflight check --trust {subject}`, to {how}"
        trust = " --trust" if config is not None and _wants_trust(config, report) else ""
        return f"type `preflight check {subject}{trust}`, to {how}"
    if words:
        return f"type `run-training --trust {subject}`, to train"
    return f"type `run-training --config {subject}`, to train"


def shorten(path: Path) -> str:
    """The path as it may be typed here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def _wants_trust(config: Config, report: Report) -> bool:
    """Whether foreign code would have to run, and is not allowed to."""
    from preflight_ocr.harness.check.trust import is_foreign

    return not config.model.trust_remote_code and is_foreign(config, report.facts.repository)
