"""The version matrix, as one HTML page and on a terminal."""

from preflight_ocr.reports.matrix.layout import lay_out
from preflight_ocr.reports.matrix.page import render, write
from preflight_ocr.reports.matrix.terminal import describe

__all__ = ["describe", "lay_out", "render", "write"]
