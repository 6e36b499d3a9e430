"""Two reports side by side: what was fixed, what is new, what stayed, and what is no longer known."""

from reports.comparison.compare import Comparison, compare
from reports.comparison.page import render, write
from reports.comparison.terminal import describe

__all__ = ["Comparison", "compare", "describe", "render", "write"]
