"""What the system can close around a child before foreign code begins: writing outside of its folder, and the network.

Landlock closes writing, signals and the memory of processes outside; a seccomp filter closes every socket that is not local.
Both need no rights and cannot be undone. A mount namespace, where the system lets us have one, gives the child a /dev/shm of
its own. No library is needed: the three Landlock calls have no wrapper in libc, and the filter has nine instructions.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

__all__ = ["CLOSED_BY_US", "Closed", "close", "describe", "explain_refusal", "measure_landlock"]

ASKED = "--network was given"
CLOSED_BY_US = "ClosedInACheck"
"""The type under which an error is told that what we closed around a child has caused: training would not meet it."""

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_FILTER = 2
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
_WRITE_FILE, _TRUNCATE, _REFER = 1 << 1, 1 << 14, 1 << 13
_WRITING = _WRITE_FILE | sum(1 << bit for bit in range(4, 13))  # remove and make files, folders, links, sockets, pipes
_SCOPES = 0b11  # abstract sockets, and signals
_DEVICES = (
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/kfd", "/dev/dxg",
)  # fmt: skip
_DEVICE_PREFIXES = ("nvidia", "dri")
_NEW_MOUNTS, _NEW_USER = 0x20000, 0x10000000
_MS_REC, _MS_PRIVATE, _MS_NOSUID, _MS_NODEV = 1 << 14, 1 << 18, 2, 4
_SHM = "/dev/shm"
_CAPABILITY_VERSION = 0x20080522
_KEPT_RIGHTS = (0, 1, 2, 3, 4, 14)  # over files, which Landlock holds, and to lock memory, which drivers ask for
_ARCHITECTURES = {  # machine -> (AUDIT_ARCH, number of socket())
    "x86_64": (0xC000003E, 41),
    "aarch64": (0xC00000B7, 198),
}
_IO_URING_SETUP = 425
_DEPTH = 20  # of the causes of an error
_AF_UNIX, _AF_NETLINK = 1, 16


class Closed(Struct, frozen=True, kw_only=True):
    """What was closed around a child; each is "" or the reason why it is open."""

    writing: str
    network: str
    shared_memory: str


def describe(closed: Closed) -> tuple[str, ...]:
    """A sentence for each thing that was open to foreign code; none where all was closed."""
    said = (
        ("the network was open to foreign code", closed.network),
        ("foreign code could write wherever this user may", closed.writing),
        ("foreign code shared /dev/shm with other programs", closed.shared_memory),
    )
    return tuple(f"{what}: {why}" for what, why in said if why)


def close(writable: Iterable[str], *, network: bool) -> Closed:
    """Close what can be closed for this thread and all that it starts. `network`: leave the network open."""
    if sys.platform != "linux":
        why = f"{sys.platform} has nothing that an unprivileged program could close it with"
        return Closed(writing=why, network=ASKED if network else why, shared_memory=why)
    libc = ctypes.CDLL(None, use_errno=True)
    shared = _own_shared_memory(libc)  # first: no mount can be made under Landlock
    _drop_rights(libc)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        why = f"the system refuses no_new_privs: {_tell_error()}"
        return Closed(writing=why, network=ASKED if network else why, shared_memory=shared)
    places = (*writable, _SHM)
    writing = _close_writing(libc, places)
    reached = ASKED if network else _close_network(libc)
    _around.writable, _around.network_closed = None if writing else places, not reached
    return Closed(writing=writing, network=reached, shared_memory=shared)


def explain_refusal(error: BaseException) -> str:
    """What to do about an error that comes of what was closed around this process; "" for one with another cause."""
    seen: BaseException | None = error
    for _ in range(_DEPTH):
        if isinstance(seen, OSError) and seen.errno in (errno.EACCES, errno.EXDEV) and (said := _explain_one(seen)):
            return said
        seen = None if seen is None else seen.__cause__ or seen.__context__
    return ""


def _explain_one(error: OSError) -> str:
    names = [os.fsdecode(name) for name in (error.filename2, error.filename) if isinstance(name, str | bytes)]
    if not names:
        is_ours = _around.network_closed and error.errno == errno.EACCES and type(error) is PermissionError
        return "a check closes the network to your code, and training does not; give --network" if is_ours else ""
    if _around.writable is None:
        return ""
    for name in names:
        path = Path(name).absolute()
        place = next((one for one in (path, *path.parents) if one.exists()), path)
        # What the file's own rights forbid, training would meet too; access() does not know of Landlock.
        if os.access(place, os.W_OK) and not any(path.is_relative_to(one) for one in _around.writable):
            return (
                f"a check lets your code write only below a folder of its own, and {name} is outside of it; training may "
                "write there. Write below tempfile.gettempdir(), which is that folder in a check"
            )
    return ""


class _Around(Struct):
    """What is closed around this very process. `writable` are the places it may write below, None where it may anywhere."""

    writable: tuple[str, ...] | None = None
    network_closed: bool = False


_around = _Around()


def measure_landlock() -> int:
    """The version of Landlock's interface in the running kernel; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(ctypes.CDLL(None, use_errno=True).syscall(_CREATE, None, 0, _VERSION)))


def _close_writing(libc: ctypes.CDLL, writable: Iterable[str]) -> str:
    version = measure_landlock()
    if not version:
        return f"this kernel has no Landlock ({_tell_error()})"
    rights = _WRITING | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    attributes = struct.pack("=QQQ", rights, 0, _SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 8
    rules = libc.syscall(_CREATE, attributes[:size], ctypes.c_size_t(size), 0)
    if rules < 0:
        return f"Landlock refuses its rules: {_tell_error()}"
    try:
        for place in writable:
            _allow(libc, rules, place, rights)
        for device in (*_DEVICES, *_list_accelerators()):
            folder = Path(device).is_dir()
            _allow(libc, rules, device, rights if folder else rights & (_WRITE_FILE | _TRUNCATE))
        if libc.syscall(_RESTRICT, rules, 0) != 0:
            return f"Landlock refuses to begin: {_tell_error()}"
    finally:
        os.close(rules)
    return ""


def _allow(libc: ctypes.CDLL, rules: int, place: str, rights: int) -> None:
    """A place that is not there needs no rule."""
    try:
        descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        libc.syscall(_ADD, rules, _PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)


def _list_accelerators() -> list[str]:
    with contextlib.suppress(OSError):
        return [str(path) for path in Path("/dev").iterdir() if path.name.startswith(_DEVICE_PREFIXES)]
    return []


def _close_network(libc: ctypes.CDLL) -> str:
    """Refuse socket() for every family but the local one, and io_uring, which could make one past the filter."""
    known = _ARCHITECTURES.get(platform.machine())
    if known is None:
        return f"the filter is not written for {platform.machine()}"
    architecture, socket_number = known
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    allowed, refused = 0x7FFF0000, 0x00050000
    steps = [
        (load, 0, 0, 4),  # the architecture
        (equal, 0, 9, architecture),  # another one: refused
        (load, 0, 0, 0),  # the number of the call
        (at_least, 7, 0, 0x40000000),  # the x32 numbers of x86_64: refused
        (equal, 5, 0, _IO_URING_SETUP),
        (equal, 0, 3, socket_number),  # any other call: allowed
        (load, 0, 0, 16),  # the family
        (equal, 1, 0, _AF_UNIX),
        (equal, 0, 2, _AF_NETLINK),
        (give, 0, 0, allowed),
        (give, 0, 0, refused | errno.ENOSYS),
        (give, 0, 0, refused | errno.EACCES),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    header = struct.pack("@HP", len(steps), ctypes.addressof(program))
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, header, 0, 0) != 0:
        return f"the system refuses the filter: {_tell_error()}"
    return ""


def _own_shared_memory(libc: ctypes.CDLL) -> str:
    """Mount a memory of its own at /dev/shm: what a child leaves there goes with it."""
    if not Path(_SHM).is_dir():
        return "there is no /dev/shm"
    user, group = os.geteuid(), os.getegid()
    in_namespace = libc.unshare(_NEW_MOUNTS) != 0
    if in_namespace:
        if libc.unshare(_NEW_MOUNTS | _NEW_USER) != 0:
            return f"the system gives no namespace: {_tell_error()}"
        try:
            Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
        except OSError as error:
            return f"the system gives no user namespace: {error.strerror}"
    if libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None) != 0:
        return f"/dev/shm cannot be made private: {_tell_error()}"
    failed = libc.mount(b"tmpfs", _SHM.encode(), b"tmpfs", _MS_NOSUID | _MS_NODEV, b"mode=1777") != 0
    return f"nothing can be mounted at /dev/shm: {_tell_error()}" if failed else ""


def _drop_rights(libc: ctypes.CDLL) -> None:
    """Give up what root has over other processes and the machine: with it, the environment of any process can be read."""
    kept = sum(1 << right for right in _KEPT_RIGHTS) if os.geteuid() == 0 else 0
    libc.capset(struct.pack("=Ii", _CAPABILITY_VERSION, 0), struct.pack("=6I", kept, kept, 0, 0, 0, 0))


def _tell_error() -> str:
    return os.strerror(ctypes.get_errno())
