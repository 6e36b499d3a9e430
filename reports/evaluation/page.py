"""An evaluation as one page: the figures, then the worst rows with their picture, both texts and what differs marked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
from markupsafe import Markup

from preflight_ocr.harness import atomic
from preflight_ocr.harness.commands.trained.evaluate import Evaluation, Group, ReadRow, Side
from preflight_ocr.harness.training.scores import Interval, RowScore
from preflight_ocr.reports.evaluation.terminal import FIGURES, name, tell, tell_constants
from preflight_ocr.reports.page.pictures import embed
from preflight_ocr.reports.page.shell import render_page
from preflight_ocr.reports.page.text import spell_seconds

MOST_ROWS = 100
"""Rows on the page, worst first; the JSON has all."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the page. `picture` is a data URI, None where there is none to be shown."""

    row: ReadRow
    score: RowScore
    picture: str | None


def render(evaluation: Evaluation) -> str:
    """The page."""
    groups: dict[str, list[Group]] = {}
    for group in evaluation.groups:
        groups.setdefault(group.by, []).append(group)
    worst = sorted(evaluation.rows, key=lambda row: -row.scores[evaluation.last].cer)
    wrong = [row for row in worst if row.scores[evaluation.last].edits]
    context = {
        "evaluation": evaluation,
        "sides": list(evaluation.sides),
        "measured": FIGURES,
        "took": spell_seconds(evaluation.seconds),
        "show_in_cell": _show_in_cell,
        "name": name,
        "told": tell(evaluation),
        "constants": tuple(tell_constants(evaluation)),
        "tone": _choose_tone(evaluation),
        "groups": groups,
        "wrong": len(wrong),
        "shown": tuple(_show_rows(wrong[:MOST_ROWS], evaluation.last)),
    }
    return render_page(
        "evaluation.html.j2", context, styles=("_style.css", "_evaluation.css"), scripts=("_filters.js",)
    )


def _show_in_cell(interval: Interval) -> Markup:
    """`0.123 (0.101 to 0.150)`, broken between the two where the column is narrow, and nowhere else."""
    low, high = f"{interval.low:.3f}", f"{interval.high:.3f}"
    return Markup('{} <span class="range">({} to {})</span>').format(f"{interval.value:.3f}", low, high)


def write(evaluation: Evaluation, path: Path) -> None:
    """Write the page in one step. Raises OSError where the folder cannot be written."""
    atomic.write_text(path, render(evaluation))


def write_json(evaluation: Evaluation, path: Path) -> None:
    """Write everything that was measured, every row included. Raises OSError where the folder cannot be written."""
    atomic.write_bytes(path, msgspec.json.format(msgspec.json.encode(evaluation), indent=1) + b"\n")


def _choose_tone(evaluation: Evaluation) -> str:
    change = evaluation.difference
    if change is None or change.low <= 0 <= change.high:
        return "plain"
    return "clear" if change.high < 0 else "refused"


def _show_rows(rows: list[ReadRow], side: Side) -> Iterator[Shown]:
    for row in rows:
        yield Shown(row=row, score=row.scores[side], picture=embed(row.image) if row.image else None)
