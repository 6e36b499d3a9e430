"""A comparison on a terminal: what is new first, then what is no longer known, then the good news."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

import click

from preflight_ocr.reports.comparison.compare import Comparison, Gone, New, Stayed
from preflight_ocr.reports.json_writer import FindingEntry

_COLOURS = {"BLOCKER": "red", "MAJOR": "yellow", "MINOR": "cyan", "NOTE": "blue"}


def describe(comparison: Comparison, *, colour: bool = False, width: int = 100) -> str:
    """The whole comparison, without a newline at its end."""
    blocks = [
        _head(comparison, colour),
        _block("NEW", _list_new(comparison.new, width, colour), len(comparison.new), "red", colour),
        _block("WORSE", _list_worse(comparison.worse, width, colour), len(comparison.worse), "red", colour),
        _block("NO LONGER LOOKED AT", _list_lost(comparison, width), len(comparison.lost), "red", colour),
        _block("NO LONGER APPLIES", _list_idle(comparison, width), len(comparison.idle), "", colour),
        _block("STILL BROKEN", _list_gone(comparison.still_broken, width), len(comparison.still_broken), "", colour),
        _block("STAYED", _list_stayed(comparison.stayed, width), len(comparison.stayed), "", colour),
        _block("FIXED", _list_gone(comparison.fixed, width), len(comparison.fixed), "green", colour),
        _block("CONTRACTS THAT END OTHERWISE", _list_changes(comparison), len(comparison.changes), "", colour),
        _block("ENVIRONMENT", _list_versions(comparison), len(comparison.environment), "", colour),
    ]
    return "\n\n".join(block for block in blocks if block)


def _head(comparison: Comparison, colour: bool) -> str:
    said = [
        f"{len(comparison.new)} new",
        *([f"{len(comparison.worse)} worse"] if comparison.worse else []),
        *([f"{len(comparison.lost)} NO LONGER LOOKED AT"] if comparison.lost else []),
        *([f"{len(comparison.idle)} no longer apply"] if comparison.idle else []),
        f"{len(comparison.fixed)} fixed",
        f"{len(comparison.stayed) + len(comparison.still_broken)} stayed",
    ]
    verdict = " -> ".join(v.upper() for v in dict.fromkeys(comparison.verdicts))
    if colour:
        verdict = click.style(verdict, fg="green" if comparison.verdicts[1] == "clear" else "red", bold=True)
    same = "\nBoth saw the same facts." if comparison.same_facts else ""
    return f"{verdict}: {', '.join(said)}\n{comparison.names[0]} -> {comparison.names[1]}{same}"


def _block(title: str, lines: Iterable[str], number: int, paint: str, colour: bool) -> str:
    if not number:
        return ""
    head = f"{title} ({number})"
    return "\n".join([click.style(head, fg=paint, bold=True) if colour and paint else head, *lines])


def _list_new(new: Iterable[New], width: int, colour: bool) -> Iterator[str]:
    for entry in new:
        yield from _explain(entry.finding, width, colour)
        if entry.before != "kept":
            before = "was not judged" if entry.before == "absent" else f"was {entry.before}"
            why = f": {entry.reason}" if entry.reason else ""
            yield from _wrap(f"Before, its contract {before}{why}", width, 4)


def _list_worse(worse: Iterable[Stayed], width: int, colour: bool) -> Iterator[str]:
    for pair in worse:
        yield from _explain(pair.after, width, colour)
        if pair.before.severity != pair.after.severity:
            yield from _wrap(f"It was {pair.before.severity}.", width, 4)
        if pair.added:
            yield from _wrap(f"New in it: {', '.join(pair.added)}.", width, 4)


def _explain(finding: FindingEntry, width: int, colour: bool) -> Iterator[str]:
    head = f"{finding.severity} {finding.code} {finding.name}"
    yield f"  {click.style(head, fg=_COLOURS[finding.severity], bold=True) if colour else head}"
    yield from _wrap(finding.summary, width, 4)
    yield from _wrap(f"Fix: {finding.fix.instruction}", width, 4)


def _list_lost(comparison: Comparison, width: int) -> Iterator[str]:
    """Each with how it ended before: a contract that was kept and one that was broken are equally unknown now."""
    for reason, changes in comparison.lost_for.items():
        yield from _wrap(f"{reason[:1].upper()}{reason[1:]}", width, 2)
        for change in changes:
            yield f"    {change.id}: {change.before} -> {'not judged' if change.after == 'absent' else change.after}"
            for entry in comparison.unknown:
                if entry.finding.code == change.code:
                    said = f"Not known to be fixed: {entry.finding.severity}: {entry.finding.summary}"
                    yield from _wrap(said, width, 6)


def _list_idle(comparison: Comparison, width: int) -> Iterator[str]:
    """What the setup no longer has: known, and neither a loss nor a repair."""
    for change in comparison.idle:
        yield from _wrap(f"{change.id}, was {change.before}: {change.reason}", width, 2)


def _list_gone(gone: Iterable[Gone], width: int) -> Iterator[str]:
    for entry in gone:
        why = f": {entry.reason}" if entry.reason else ""
        yield from _wrap(f"{entry.finding.severity} {entry.finding.code} {entry.finding.name}{why}", width, 2)


def _list_stayed(stayed: Iterable[Stayed], width: int) -> Iterator[str]:
    for pair in stayed:
        was = f" (was {pair.before.severity})" if pair.before.severity != pair.after.severity else ""
        yield from _wrap(
            f"{pair.after.severity}{was} {pair.after.code} {pair.after.name}: {pair.after.summary}", width, 2
        )


def _list_changes(comparison: Comparison) -> Iterator[str]:
    longest = max((len(change.id) for change in comparison.changes), default=0)
    for change in comparison.changes:
        mark = "!" if change.is_loud else " "
        yield f"{mark} {change.id:<{longest}}  {change.before} -> {change.after}"


def _list_versions(comparison: Comparison) -> Iterator[str]:
    longest = max((len(version.name) for version in comparison.environment), default=0)
    for version in comparison.environment:
        yield f"  {version.name:<{longest}}  {version.before or 'none'} -> {version.after or 'none'}"


def _wrap(text: str, width: int, indent: int) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()),
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
