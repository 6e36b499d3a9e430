"""Two reports side by side: what was fixed, what is new, what stayed, and what is no longer known."""

from preflight_ocr.reports.comparison.compare import Comparison, compare
from preflight_ocr.reports.comparison.page import render, write
from preflight_ocr.reports.comparison.terminal import describe

__all__ = ["Comparison", "compare", "describe", "render", "write"]
