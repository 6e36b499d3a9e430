"""Which files are Preflight's own: asked wherever a line of somebody's code is to be found behind an exception or a call."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import site
import sys
import sysconfig
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
"""The directory that holds `harness`, `probes` and `reports`: the installed package, or the clone."""
FOLDERS = ("harness", "probes", "reports")
PREFIXES = tuple(str(HOME / folder) for folder in FOLDERS)


def is_ours(path: Path) -> bool:
    """Whether a file is part of Preflight. `fixtures` is not: miniatures and planted faults stand for somebody's code."""
    return path.is_relative_to(HOME) and path.relative_to(HOME).parts[0] in FOLDERS


@functools.cache
def find_installed_places() -> tuple[str, ...]:
    """The folders of the standard library and of installed packages, each with its closing separator."""
    found = {sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    found |= {*site.getsitepackages(), site.getusersitepackages()}
    found |= {place for place in sys.path if place.endswith(("site-packages", "dist-packages"))}
    return tuple(sorted(f"{place}{os.sep}" for place in found if place))


def is_stand_in(path: Path) -> bool:
    """Whether a file is one of the miniatures or planted faults: somebody else's code, wherever Preflight is installed."""
    return path.is_relative_to(HOME / "fixtures")


@functools.cache
def find_version() -> str:
    """The release of Preflight that is installed; empty where only its files are there."""
    try:
        return importlib.metadata.version("preflight-ocr")
    except importlib.metadata.PackageNotFoundError:
        return ""
