"""Hand-made reports."""

from __future__ import annotations

from tests.support.judgements import find_fault, judge, judgements, make_report, report

__all__ = ["find_fault", "judge", "judgements", "make_report", "report"]
