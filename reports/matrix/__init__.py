"""The version matrix, as one HTML page and on a terminal."""

from reports.matrix.layout import lay_out
from reports.matrix.page import render, write
from reports.matrix.terminal import describe

__all__ = ["describe", "lay_out", "render", "write"]
