"""Which files are Preflight's own: asked wherever a line of somebody's code is to be found behind an exception or a call."""

from __future__ import annotations

from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
"""The directory that holds `harness`, `probes` and `reports`: the installed package, or the clone."""
FOLDERS = ("harness", "probes", "reports")
PREFIXES = tuple(str(HOME / folder) for folder in FOLDERS)


def is_ours(path: Path) -> bool:
    """Whether a file is part of Preflight. `fixtures` is not: miniatures and planted faults stand for somebody's code."""
    return path.is_relative_to(HOME) and path.relative_to(HOME).parts[0] in FOLDERS
