"""The report on a terminal: progress while it works, then the verdict, what to do, and what was not looked at.

Our own words are ASCII, so that no code page can spoil them; what is quoted may hold anything.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable
from typing import TextIO

import click

from preflight_ocr.harness.foreign.text import clean_line
from preflight_ocr.harness.judging.findings import Broken, Crashed, Finding, Kept, NotApplicable, Severity, Skipped
from preflight_ocr.harness.verdict.decision import Tone
from preflight_ocr.harness.verdict.report import Report

_COLOURS = {Severity.BLOCKER: "red", Severity.MAJOR: "yellow", Severity.MINOR: "cyan", Severity.NOTE: "blue"}

_TONES: dict[Tone, str] = {"clear": "green", "partial": "cyan", "major": "yellow", "blind": "red", "refused": "red"}

_REASONS = {"blind": "Why blind: ", "partial": "Not a clearance: "}

_NAMED = 12  # skipped contracts of one reason that are shown by name; more are shown by code


class Progress:
    """Says on stderr what is being done: one line that is rewritten on a terminal, plain lines anywhere else."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._started = time.monotonic()

    def __call__(self, text: str) -> None:
        """Show one step."""
        elapsed = f"{time.monotonic() - self._started:5.1f} s"
        if self._live:
            line = f"{elapsed}  {clean_line(text)}"[: shutil.get_terminal_size().columns - 1]
            self._stream.write(f"\r\x1b[K{line}")
        else:
            self._stream.write(f"{elapsed}  {clean_line(text)}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Take the rewritten line away, so that what follows starts on an empty one."""
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def survive_code_pages() -> None:
    """Write what a legacy code page cannot show as `?` instead of raising UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def wants_colour(stream: TextIO) -> bool:
    """Colour only on a terminal that can show it, and never against NO_COLOR (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def explain(finding: Finding, *, colour: bool = False, width: int = 100) -> str:
    """One finding as text: what is wrong, the evidence, the fix, what it explains, and where to read more."""
    head = f"{finding.severity.value} {finding.code} {finding.name}"
    if colour:
        head = click.style(head, fg=_COLOURS[finding.severity], bold=True)
    lines = [f"{head} ({finding.basis.value})", *_wrap(finding.summary, width, "  ")]
    for evidence in finding.evidence:
        lines += _wrap(evidence, width, "    ", first="  - ")
    lines += _wrap(finding.fix.instruction, width, "       ", first="  Fix: ")
    lines += [f"      {line}".rstrip() for line in finding.fix.snippet.splitlines()]
    if finding.consequences:
        lines += _wrap(", ".join(finding.consequences), width, "    ", first="  Also explains: ")
    lines.append(f"  More: preflight explain {finding.code}")
    return "\n".join(lines)


def explain_broken(broken: Broken) -> str:
    """A broken contract as text; a consequence says first what to fix before it."""
    causes = ", ".join(broken.explained_by)
    lead = [f"A consequence of {causes}: fix that first.\n"] if causes else []
    return "\n\n".join([*lead, *(explain(finding) for finding in broken.findings)])


def render(report: Report, *, colour: bool = False, width: int = 100) -> str:
    """The whole report, without a newline at its end."""
    blocks = [_headline(report, colour)]
    if report.verdict in ("blind", "partial"):
        blocks.append("\n".join(_wrap(report.reason_why, width, "  ", first=_REASONS[report.verdict])))
    blocks += [explain(finding, colour=colour, width=width) for finding in report.findings]
    blocks += [block for block in (_waivers(report, width), _crashed(report, width), _skipped(report, width)) if block]
    blocks += [_inapplicable(report, width)] if report.not_applicable else []
    blocks += ["\n".join(_wrap(opening, width, "  ", first="Open: ")) for opening in report.openings]
    applicable = len(report.judgements) - report.count(NotApplicable)
    blocks.append(f"Kept: {report.count(Kept)} of the {applicable} contracts that apply here.")
    return "\n\n".join(blocks)


def _headline(report: Report, colour: bool) -> str:
    said = report.headline
    if colour:
        word, colon, rest = said.partition(":")
        if not colon:  # a severity, or nothing found: the words up to the first caveat
            word, colon, rest = said.partition(";")
        said = click.style(word, fg=_TONES[report.tone], bold=True) + colon + rest
    return f"{said}\n{clean_line(report.config)} (level {report.level})"


def _waivers(report: Report, width: int) -> str:
    lines = [f"Waived ({len(report.waived)})"] if report.waived else []
    for waiver in report.waived:
        lines += _wrap(
            f"{waiver.code} until {waiver.until}: {waiver.reason} ({waiver.link})", width, "    ", first="  "
        )
    if report.waiver_problems:
        lines.append("Waivers that need attention")
        for problem in report.waiver_problems:
            lines += _wrap(problem, width, "    ", first="  ")
    return "\n".join(lines)


def _crashed(report: Report, width: int) -> str:
    if not report.crashed:
        return ""
    lines = [f"CRASHED ({report.count(Crashed)}): our own judging failed here, so nothing is known"]
    for identity, error in report.crashed.items():
        lines += _wrap(f"{identity}: {error}", width, "    ", first="  ")
    return "\n".join(lines)


def _skipped(report: Report, width: int) -> str:
    if not report.skipped:
        return ""
    lines = [f"SKIPPED ({report.count(Skipped)}): not looked at, so not a pass"]
    for reason, identities in report.skipped.items():
        lines += _wrap(reason, width, "    ", first="  ")
        lines += _wrap(", ".join(identities), width, "      ")
    return "\n".join(lines)


def _inapplicable(report: Report, width: int) -> str:
    lines = [f"NOT APPLICABLE ({report.count(NotApplicable)}): these contracts say nothing about this setup"]
    for reason, identities in report.not_applicable.items():
        lines += _wrap(f"{', '.join(identities)}: {reason}", width, "    ", first="  ")
    return "\n".join(lines)


def _wrap(text: str, width: int, indent: str, *, first: str | None = None) -> Iterable[str]:
    """Wrap each line of `text`, so that quoted code keeps its lines; long words stay whole to be copied."""
    start = indent if first is None else first
    for number, line in enumerate(text.splitlines() or [""]):
        # A newline in what is quoted must not begin a line that looks like one of ours.
        line = f"| {line}" if number else line
        yield from textwrap.wrap(
            line, width, initial_indent=start, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [start.rstrip()]
        start = indent
