"""Where Preflight keeps what is the user's own: a cache that may be deleted, and a state that should not be."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["find_cache_directory", "find_state_directory"]


def find_cache_directory() -> Path:
    """LOCALAPPDATA on Windows, else XDG_CACHE_HOME or ~/.cache; `preflight` in it."""
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "preflight"


def find_state_directory() -> Path:
    """`preflight-state` in LOCALAPPDATA on Windows, else `preflight` in XDG_STATE_HOME or ~/.local/state.

    It holds the key that clearances are signed with, the last clearance of each project, and the list of folders that a
    check has open.
    """
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        return Path(root) / "preflight-state"
    root = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(root) / "preflight"
