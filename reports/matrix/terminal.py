"""The version matrix on a terminal: as many releases side by side as there is room for, then words."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence

import click

from preflight_ocr.harness.commands.matrix.records import Matrix
from preflight_ocr.harness.judging.wording import count
from preflight_ocr.reports.matrix.layout import WORDS, Layout, Line, Square, State, lay_out

_COLOURS = {"BLOCKER": "red", "MAJOR": "yellow", "MINOR": "cyan", "NOTE": "blue", "clear": "green", "unbuilt": "red"}
_SAID: Mapping[State, str] = {**WORDS, "broken": "with a finding", "absent": "not to be had", "unbuilt": "not built"}
_NAME = 24  # the widest name of a model that is not cut


def describe(matrix: Matrix, *, colour: bool = False, width: int = 100) -> str:
    """The table in blocks of whole transformers releases, and what it cannot hold. No newline at the end."""
    layout = lay_out(matrix)
    blocks = [_head(layout, width), *_draw(layout, colour, width), _legend(layout, width)]
    blocks += [_list_unbuilt(layout, width), _list_causes(layout, width), _list_doubts(layout, width)]
    return "\n\n".join(block for block in blocks if block)


def _head(layout: Layout, width: int) -> str:
    said = [f"{number} {_SAID[state]}" for state, number in layout.states.items()]
    counted = f": {', '.join(said)}" if said else ""
    compared = layout.agreements + layout.disagreements
    lines = [
        f"{layout.config}: {count(len(layout.lines), 'model')} in {count(len(layout.columns), 'cell')}{counted}",
        f"Reading and running agree in {layout.agreements} of {compared} that could be compared."
        if compared
        else "Nothing could be compared with what reading says.",
    ]
    return "\n".join(wrapped for line in lines for wrapped in textwrap.wrap(line, width))


def _draw(layout: Layout, colour: bool, width: int) -> Iterator[str]:
    names = min(_NAME, max(len(line.shown) for line in layout.lines))
    size = max([8, *(len(_write(square)) + 1 for line in layout.lines for square in line.squares)])
    room = max(1, (width - names - 2) // size)
    for start, end in _cut(layout, room):
        columns = layout.columns[start:end]
        releases = [column.transformers if column.opens or n == 0 else "" for n, column in enumerate(columns)]
        lines = [
            f"{'transformers':<{names}}  {''.join(release.ljust(size) for release in releases)}".rstrip(),
            f"{'peft':<{names}}  {''.join(column.peft.ljust(size) for column in columns)}".rstrip(),
        ]
        lines += [_draw_line(line, names, size, start, end, colour) for line in layout.lines]
        lines.append(f"{'seconds':<{names}}  {''.join(_count(c.install, c.run).ljust(size) for c in columns)}".rstrip())
        yield "\n".join(lines)


def _cut(layout: Layout, room: int) -> Iterator[tuple[int, int]]:
    """Blocks of whole releases; one that is wider than the terminal is broken where it has to be."""
    starts = list(itertools.accumulate((number for _, number in layout.groups), initial=0))
    begin = 0
    while begin < len(layout.columns):
        whole = [start for start in starts if begin < start <= begin + room]
        end = whole[-1] if whole else min(begin + room, len(layout.columns))
        yield begin, end
        begin = end


def _draw_line(line: Line, names: int, size: int, start: int, end: int, colour: bool) -> str:
    name = line.shown if len(line.shown) <= names else f"{line.shown[: names - 2]}.."
    cells = []
    for square in line.squares[start:end]:
        text, paint = _write(square), _COLOURS.get(square.severity or square.state)
        gap = " " * (size - len(text)) if square.column + 1 < end else ""
        cells.append((click.style(text, fg=paint) if colour and paint else text) + gap)
    return f"{name:<{names}}  {''.join(cells)}"


def _write(square: Square) -> str:
    """`[ok]` inside the predicted window, `ok` outside; `!` where reading and running do not agree."""
    text = f"{square.code}{'+' if square.more else ''}" if square.code else square.text
    framed = f"[{text}]" if square.window == "fits" else f" {text}"
    return f"{framed}!" if square.agrees is False else framed


def _count(install: float | None, run: float | None) -> str:
    parts = [f"{seconds:.0f}" if seconds is not None else "-" for seconds in (install, run)]
    return "+".join(parts)


def _legend(layout: Layout, width: int) -> str:
    said = ["[ ] reading says these releases fit", "! running says otherwise", "+ and more findings"]
    marks = {"absent": "- not to be had", "unjudged": "? nothing could be run", "unbuilt": "x not built"}
    said += [words for state, words in marks.items() if state in layout.states]
    return "\n".join(textwrap.wrap(f"{'; '.join(said)}; seconds: install+run", width))


def _list_unbuilt(layout: Layout, width: int) -> str:
    if not layout.unbuilt:
        return ""
    lines = [f"NOT BUILT ({len(layout.unbuilt)})"]
    for column in layout.unbuilt:
        lines += _wrap(f"{column.cell}: {column.reason}", width)
    return "\n".join(lines)


def _list_causes(layout: Layout, width: int) -> str:
    """Every finding of every model once, with the cells it was seen in."""
    lines: list[str] = []
    for line in layout.lines:
        for outcome in line.told:
            for breach in outcome.breaches:
                head = f"{line.shown}, {outcome.where}: {breach.severity} {breach.code} {breach.name}: {breach.summary}"
                lines += _wrap(head, width)
            if not outcome.breaches and not outcome.is_without_class:  # of those the table says enough
                lines += _wrap(f"{line.shown}, {outcome.where}: {WORDS[outcome.state]}: {outcome.reason}", width)
    return "\n".join(["What was seen", *lines]) if lines else ""


def _list_doubts(layout: Layout, width: int) -> str:
    if not layout.doubts:
        return ""
    lines = [f"Reading and running do not agree ({layout.disagreements})"]
    for doubt in layout.doubts:
        said = (
            f"{doubt.shown}, {doubt.where}: reading: {doubt.predicted}; running: {doubt.ran}; why: {doubt.explanation}"
        )
        lines += _wrap(said, width)
    return "\n".join(lines)


def _wrap(text: str, width: int) -> Sequence[str]:
    return textwrap.wrap(
        " ".join(text.split()), width, initial_indent="  ", subsequent_indent="    ", break_long_words=False
    )
