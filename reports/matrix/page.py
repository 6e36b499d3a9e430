"""The version matrix as one page: a table to be scanned, what differs from the prediction, and every outcome in words."""

from __future__ import annotations

from pathlib import Path

from preflight_ocr.harness import atomic
from preflight_ocr.harness.commands.matrix.records import Matrix
from preflight_ocr.reports.matrix.layout import WORDS, lay_out
from preflight_ocr.reports.page.shell import render_page

STYLES = ("_style.css", "_matrix.css")
SCRIPTS = ("_filters.js", "_matrix.js")


def render(matrix: Matrix) -> str:
    """The page."""
    layout = lay_out(matrix)
    return render_page("matrix.html.j2", {"layout": layout, "words": WORDS}, styles=STYLES, scripts=SCRIPTS)


def write(matrix: Matrix, path: Path) -> None:
    """Write the page in one step. Raises OSError where the folder cannot be written."""
    atomic.write_text(path, render(matrix))
