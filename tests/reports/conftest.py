"""Hand-made reports."""

from __future__ import annotations

from tests.support.judgements import essentials, find_fault, judge, judgements, make_report, report

__all__ = ["essentials", "find_fault", "judge", "judgements", "make_report", "report"]
