"""Processes as the system shows them: who belongs to a child, what they use, and how to end them all."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

__all__ = ["Usage", "adopt_orphans", "die_with_parent", "family", "kill_family", "measure_usage", "tell_status"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")
_STAT_BYTES = 4096  # the line has about 300


class Usage(NamedTuple):
    """What a child and its own children use at this moment."""

    processes: int
    resident_bytes: int


def die_with_parent(parent: int) -> None:
    """Linux: have the kernel kill this process as soon as `parent` is gone, however that came about."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it went before the kernel knew of our wish
            os._exit(1)


def adopt_orphans() -> None:
    """Linux: make this process the parent of every descendant whose own parent ends, so that none gets away."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def family(root: int) -> set[int]:
    """Linux: the ids of `root`, its descendants, and everything in its session or process group that still runs."""
    parents: dict[int, int] = {}
    members = {root}
    with os.scandir(_PROC) as entries:  # no Path and no decoding: all processes are looked at whenever a child ends
        for name in (entry.name for entry in entries if entry.name.isdigit()):
            if (text := _read_stat(name)) is None:
                continue
            # The command name may hold anything, spaces and brackets too; the fields begin after its last bracket.
            state, parent, group, session = text.rpartition(b")")[2].split(None, 4)[:4]
            pid = int(name)
            parents[pid] = int(parent)
            if state not in b"ZX" and root in (int(group), int(session)):
                members.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in members and pid not in members}:
        members |= more
    return members


def _read_stat(name: str) -> bytes | None:
    """/proc/NAME/stat, None where the process has ended meanwhile."""
    try:
        descriptor = os.open(f"{_PROC}/{name}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, _STAT_BYTES)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def kill_family(root: int) -> None:
    """Kill `root`, which leads its session, and all that belongs to it. No error when they are gone already."""
    if sys.platform == "win32":
        command = ["taskkill", "/T", "/F", "/PID", str(root)]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return
    members = family(root) if sys.platform == "linux" else {root}
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(root, signal.SIGKILL)
    for pid in members:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def measure_usage(root: int, limit_bytes: int, *, whole_family: bool) -> Usage:
    """How much `root`, with its descendants if `whole_family`, holds in memory.

    The quick sum counts a page that two processes share twice. Only where that would exceed `limit_bytes` is each
    process asked for its exact share, which costs milliseconds. Off Linux it needs psutil, else it measures nothing.
    """
    if sys.platform != "linux":
        return _measure_with_psutil(root)
    members = family(root) if whole_family else {root}
    resident = sum(_read_resident(pid) for pid in members)
    if resident > limit_bytes:
        resident = sum(_read_share(pid) for pid in members)
    return Usage(len(members), resident)


def _read_resident(pid: int) -> int:
    try:
        return int((_PROC / str(pid) / "statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def _read_share(pid: int) -> int:
    try:
        for line in (_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return _read_resident(pid)


def _measure_with_psutil(root: int) -> Usage:
    if importlib.util.find_spec("psutil") is None:
        return Usage(1, 0)
    import psutil  # type: ignore[import-untyped, unused-ignore]

    resident = 0
    try:
        members = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
    except psutil.Error:
        return Usage(0, 0)
    for member in members:
        with contextlib.suppress(psutil.Error):
            resident += int(member.memory_info().rss)
    return Usage(len(members), resident)


def tell_status(status: int) -> str:
    """Say in words how a process ended: an exit status, or minus a signal's number."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = "unnamed"
    return f"was killed by signal {-status} ({name})"
