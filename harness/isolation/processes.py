"""Processes as the system shows them: who belongs to a child, what they use, and how to end them all."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "MARK",
    "Usage",
    "adopt_orphans",
    "bury_family",
    "die_with_parent",
    "family",
    "is_halted",
    "kill_family",
    "measure_usage",
    "tell_status",
    "watch_orphans",
]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
MARK = "PREFLIGHT_SANDBOX"
"""The variable by which a process is known as one of a sandbox's, wherever it went."""

_PROC = Path("/proc")
_BURIAL_SECONDS = 2.0
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


@contextlib.contextmanager
def watch_orphans(mark: str) -> Iterator[None]:
    """Linux: be the parent of whatever loses its own, and at the end kill those that carry `mark` in their environment.

    So ends a daemon that left its session twice and whose warm process was killed above it. One that also emptied its
    environment is not known any more.
    """
    if sys.platform != "linux":
        yield
        return
    before = _is_subreaper()
    adopt_orphans()
    try:
        yield
    finally:
        for pid in _find_marked(f"{MARK}={mark}".encode()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError, OSError):
                os.waitpid(pid, 0)
        if not before:
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _is_subreaper() -> bool:
    seen = ctypes.c_int()
    ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(seen), 0, 0, 0)
    return bool(seen.value)


def _find_marked(mark: bytes) -> list[int]:
    """The descendants of this process whose environment holds `mark`."""
    found = []
    for pid in family(os.getpid()) - {os.getpid()}:
        with contextlib.suppress(OSError):
            if mark in (_PROC / str(pid) / "environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def is_halted(pid: int) -> bool:
    """Linux: whether a process stands still (SIGSTOP, or a debugger). Elsewhere the limit on time ends such a one."""
    if sys.platform != "linux" or (text := _read_stat(str(pid))) is None:
        return False
    return text.rpartition(b")")[2].split(None, 1)[0] in (b"T", b"t")


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


def bury_family(root: int, *, itself: bool) -> None:
    """Kill the family of `root`, and wait for those of it that became our own children when it ended.

    `itself`: `root` is one of those too. Without this they would stay in the table of processes as long as we run.
    """
    members = kill_family(root)
    if sys.platform != "linux":
        return
    deadline = time.monotonic() + _BURIAL_SECONDS
    while adopted := _find_adopted(root, members) - (set() if itself else {root}):
        for pid in adopted:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            return
        time.sleep(0.005)


def _find_adopted(root: int, members: set[int]) -> set[int]:
    """Our own children that are of the family: by id, or by its session or group, which a dead one keeps."""
    found, mine = set(), os.getpid()
    with os.scandir(_PROC) as entries:
        for name in (entry.name for entry in entries if entry.name.isdigit()):
            if (text := _read_stat(name)) is not None:
                parent, group, session = map(int, text.rpartition(b")")[2].split(None, 5)[1:4])
                if parent == mine and (int(name) in members or root in (group, session)):
                    found.add(int(name))
    return found


def kill_family(root: int) -> set[int]:
    """Kill `root`, which leads its session, and all that belongs to it; returns their ids. No error when they are gone."""
    if sys.platform == "win32":
        command = ["taskkill", "/T", "/F", "/PID", str(root)]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return {root}
    members = family(root) if sys.platform == "linux" else {root}
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(root, signal.SIGKILL)
    for pid in members:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return members


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
