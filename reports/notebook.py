"""A report that shows itself: as a page in a notebook, as text anywhere else."""

from __future__ import annotations

import html

from preflight_ocr.harness.check.command import Watched
from preflight_ocr.harness.verdict.report import Report
from preflight_ocr.reports import terminal


class Shown:
    """The report of `preflight_ocr.check`. `report` is the whole of it, `remarks` what there is to say of the check."""

    def __init__(self, watched: Watched) -> None:
        self.report: Report = watched.report
        self.remarks: tuple[str, ...] = watched.remarks

    @property
    def findings(self) -> tuple[object, ...]:
        """The root causes, worst first."""
        return self.report.findings

    def __str__(self) -> str:
        text = terminal.render(self.report, colour=False, width=100)
        return "\n".join([*self.remarks, text])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"
