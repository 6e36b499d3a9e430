"""Where in somebody's code something happened, while it is still running: the innermost frames outside torch and us."""

from __future__ import annotations

import linecache
import sys
from functools import cache
from pathlib import Path
from typing import Literal

import torch

from preflight_ocr.harness.facts import Site
from preflight_ocr.harness.home import is_ours
from preflight_ocr.probes.workbench.tracing import is_foreign

_TORCH = Path(torch.__file__).parent
_PACKAGES = {"site-packages", "dist-packages"}
_REMOTE = "transformers_modules"  # where transformers puts the model's own code

Owner = Literal["user", "model", "library"]


@cache
def find_owner(file: str) -> Owner | None:
    """Whose code a file is; None for torch, for Preflight and for what is no file."""
    path = Path(file)
    if file.startswith("<") or is_ours(path) or path.is_relative_to(_TORCH):
        return None
    if not is_foreign(path):
        return "library" if path.suffix == ".py" and not _PACKAGES.isdisjoint(path.parts) else None
    return "model" if _REMOTE in path.parts else "user"


def find_place() -> tuple[Site | None, Owner | None]:
    """The innermost line of the user's or of the model's own code that is running now; a library's where there is none."""
    frame, library = sys._getframe(1), None
    while frame is not None:
        owner = find_owner(frame.f_code.co_filename)
        if owner in ("user", "model"):
            return _describe(frame.f_code.co_filename, frame.f_lineno), owner
        if owner == "library" and library is None:
            library = (frame.f_code.co_filename, frame.f_lineno)
        if frame.f_back is None:
            break
        frame = frame.f_back
    return (None, None) if library is None else (_describe(*library), "library")


def find_library_place() -> Site | None:
    """The innermost line outside torch and Preflight, whoever wrote it."""
    frame = sys._getframe(1)
    while frame is not None:
        if find_owner(frame.f_code.co_filename) is not None:
            return _describe(frame.f_code.co_filename, frame.f_lineno)
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return None


def _describe(file: str, line: int) -> Site:
    return Site(file=Path(file).name, line=line, code=linecache.getline(file, line).strip(), kind="", runs=None)
