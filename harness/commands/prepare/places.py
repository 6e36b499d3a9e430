"""Where a file really lies: rows that somebody else wrote reach nothing outside of the folders that are allowed."""

from __future__ import annotations

from pathlib import Path

from preflight_ocr.harness.commands.prepare.asked import Asked
from preflight_ocr.harness.commands.prepare.reasons import Rejection
from preflight_ocr.harness.foreign.text import clean_line


def require_inside(path: Path, name: str, asked: Asked) -> Path:
    """The file itself, links followed. Raises Rejection where there is none, or where it lies outside."""
    try:
        real = path.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # also a name that no file can have, and links in a circle
        raise Rejection("picture_missing", f"{name}: there is no such picture") from None
    if not any(real.is_relative_to(root) for root in asked.roots):
        raise Rejection("outside", f"{name}: lies outside of {asked.source}; give --allow {real.parent} to take it")
    return real


def name_below(path: Path, asked: Asked) -> str:
    """The path below SOURCE, "." for SOURCE itself; "" for what lies elsewhere."""
    real, root = path.resolve(), asked.roots[0]
    return clean_line(real.relative_to(root).as_posix()) if real.is_relative_to(root) else ""
