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
from collections.abc import Iterable, Mapping
from typing import Literal, TextIO

import click

from preflight_ocr.harness.check.seen import Beat
from preflight_ocr.harness.foreign.text import clean_line
from preflight_ocr.harness.judging.findings import Broken, Crashed, Finding, Kept, NotApplicable, Severity, Skipped
from preflight_ocr.harness.verdict.decision import Tone
from preflight_ocr.harness.verdict.report import Report

_COLOURS = {Severity.BLOCKER: "red", Severity.MAJOR: "yellow", Severity.MINOR: "cyan", Severity.NOTE: "blue"}

_TONES: dict[Tone, str] = {"clear": "green", "partial": "cyan", "major": "yellow", "blind": "red", "refused": "red"}

_REASONS = {"blind": "Why blind: ", "partial": "Not a clearance: "}

Detail = Literal["quiet", "usual", "full"]
"""How much is told: one line a finding; what there is to do; every contract, version and duration."""

_NAMED = 4  # contracts of one reason that are named where not everything is told
_FIRST_BEAT = (
    10.0  # seconds in one step after which its beat is first written away from a terminal; then each time twice
)


class Progress:
    """Says on stderr what is being done: one line that is rewritten on a terminal, plain lines anywhere else.

    `quiet` says nothing at all.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._started = self._stepped = time.monotonic()
        self._quiet, self._pause = quiet, _FIRST_BEAT

    def __call__(self, text: str) -> None:
        """Show one step. A `Beat` is shown each time where a line is rewritten, and ever more seldom elsewhere."""
        now = time.monotonic()
        if isinstance(text, Beat):
            if not self._live and now - self._stepped < self._pause:
                return
            self._pause *= 2
        else:
            self._stepped, self._pause = now, _FIRST_BEAT
        if self._quiet:
            return
        elapsed = f"{now - self._started:5.1f} s"
        if self._live:
            line = f"{elapsed}  {clean_line(text)}"[: shutil.get_terminal_size().columns - 1]
            self._stream.write(f"\r\x1b[K{line}")
        else:
            self._stream.write(f"{elapsed}  {clean_line(text)}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Take the rewritten line away, so that what follows starts on an empty one."""
        if self._live and not self._quiet:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def survive_code_pages() -> None:
    """Write what a legacy code page cannot show as `?` instead of raising UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


SHOWN_PLACES = 2  # lines of source behind a finding


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
    for site in finding.places[:SHOWN_PLACES]:
        if not any(f"{site.file}:{site.line}" in evidence for evidence in finding.evidence):
            lines += _wrap(f"{site.file}:{site.line}: {site.code}", width, "      ", first="  At ")
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


def render(report: Report, *, colour: bool = False, width: int = 100, detail: Detail = "usual") -> str:
    """The whole report, without a newline at its end. `detail` is how much of it."""
    if detail == "quiet":
        return "\n".join([_headline(report, colour), *(_say_shortly(f, colour) for f in report.findings)])
    blocks = [_headline(report, colour)]
    if report.verdict in ("blind", "partial"):
        blocks.append("\n".join(_wrap(report.reason_why, width, "  ", first=_REASONS[report.verdict])))
    if report.told_reused:
        blocks.append("\n".join(_wrap(report.told_reused, width, "  ", first="Taken over: ")))
    blocks += [explain(finding, colour=colour, width=width) for finding in report.findings]
    blocks += [_waivers(report, width), _crashed(report, width)]
    blocks += [_skipped(report, width, detail), _inapplicable(report, width, detail)]
    blocks += ["\n".join(_wrap(opening, width, "  ", first="Open: ")) for opening in report.openings]
    if detail == "full":
        blocks += [_kept(report, width), _measured(report, width)]
    applicable = len(report.judgements) - report.count(NotApplicable)
    blocks.append(f"Kept: {report.count(Kept)} of the {applicable} contracts that apply here.")
    return "\n\n".join(filter(None, blocks))


def _say_shortly(finding: Finding, colour: bool) -> str:
    head = f"{finding.severity.value} {finding.code} {finding.name}"
    if colour:
        head = click.style(head, fg=_COLOURS[finding.severity], bold=True)
    return f"{head}: {clean_line(finding.summary)}"


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
        lines += _wrap(f"{waiver.code} {waiver.describe()}", width, "    ", first="  ")
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


def _skipped(report: Report, width: int, detail: Detail) -> str:
    if not report.skipped:
        return ""
    head = f"SKIPPED ({report.count(Skipped)}): not looked at, so not a pass"
    return "\n".join([head, *_group(report.skipped, width, detail)])


def _inapplicable(report: Report, width: int, detail: Detail) -> str:
    if not report.not_applicable:
        return ""
    head = f"NOT APPLICABLE ({report.count(NotApplicable)}): these contracts say nothing about this setup"
    if detail == "full":
        return "\n".join([head, *_group(report.not_applicable, width, detail)])
    return f"{head}; -v says why"


def _group(reasons: Mapping[str, tuple[str, ...]], width: int, detail: Detail) -> Iterable[str]:
    """Each reason once, with how many contracts it keeps; the contracts by name where they are few or all are asked for."""
    for reason, identities in sorted(reasons.items(), key=lambda pair: -len(pair[1])):
        few = len(identities) <= _NAMED
        codes = f" ({', '.join(code.partition('-')[0] for code in identities)})" if few and detail != "full" else ""
        yield from _wrap(f"{reason}{codes}", width, "       ", first=f"  {len(identities):>3}  ")
        if detail == "full":
            yield from _wrap(", ".join(identities), width, "         ")


def _kept(report: Report, width: int) -> str:
    kept = [j.contract.id for j in report.judgements if isinstance(j.outcome, Kept)]
    return "\n".join([f"KEPT ({len(kept)})", *_wrap(", ".join(kept), width, "  ")]) if kept else ""


def _measured(report: Report, width: int) -> str:
    """What the check ran with, and how long each part of it took."""
    versions = ", ".join(f"{name} {version}" for name, version in report.environment.items())
    timings = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in report.timings.items())
    return "\n".join([*_wrap(versions, width, "  ", first="With: "), *_wrap(timings, width, "  ", first="Took: ")])


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
