"""A comparison as one page."""

from __future__ import annotations

from pathlib import Path

from preflight_ocr.harness import atomic
from preflight_ocr.reports.comparison.compare import Comparison
from preflight_ocr.reports.page.shell import render_page

STYLES = ("_style.css", "_compare.css")


def render(comparison: Comparison) -> str:
    """The page."""
    return render_page("compare.html.j2", {"comparison": comparison}, styles=STYLES)


def write(comparison: Comparison, path: Path) -> None:
    """Write the page in one step. Raises OSError where the folder cannot be written."""
    atomic.write_text(path, render(comparison))
