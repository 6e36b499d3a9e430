"""Hostile children: what foreign code may do to its own process, to us, to other programs and to what it answers.

Each attack is a function that runs in a child, with what its ending may be and what must hold afterwards. `attack_children`
runs them in turn, in one sandbox, which has to serve the next one whatever the last one did.
"""

from __future__ import annotations

import builtins
import ctypes
import gc
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from preflight_ocr.harness.check.answers import read_answer
from preflight_ocr.harness.facts import Collator, Unknown
from preflight_ocr.harness.isolation import ChildRaised, Died, Ending, Limits, Returned, Sandbox
from preflight_ocr.harness.isolation.closing import measure_landlock
from tests.campaign.tally import Tally

LIMITS = Limits(
    seconds=8, memory_bytes=1 << 30, output_bytes=1 << 16, file_bytes=1 << 24, result_bytes=1 << 22, processes=64
)
SECRET = "PREFLIGHT_CAMPAIGN_TOKEN"


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """`may_end` are the endings that are right; `judge` says what is wrong with one, "" where nothing is."""

    name: str
    run: Callable[[str], object]
    may_end: tuple[type, ...] = (Died,)
    judge: Callable[[Ending], str] = lambda ending: ""
    landlock: int = 0
    """The version of Landlock that has to close this; where the kernel has an older one, the attack would succeed."""


ATTACKS: dict[str, Attack] = {}


def attack(
    *may_end: type, judge: Callable[[Ending], str] = lambda ending: "", landlock: int = 0
) -> Callable[[Callable[[str], object]], Callable[[str], object]]:
    """Enter a function into the table under its own name."""

    def enter(function: Callable[[str], object]) -> Callable[[str], object]:
        name = function.__name__
        ATTACKS[name] = Attack(name=name, run=function, may_end=may_end or (Died,), judge=judge, landlock=landlock)
        return function

    return enter


def run_one(name: str, outside: str) -> object:
    """The entry of the child."""
    return ATTACKS[name].run(outside)


def _gave(expected: object) -> Callable[[Ending], str]:
    def judge(ending: Ending) -> str:
        given = ending.value if isinstance(ending, Returned) else ending
        return "" if given == expected else f"gave {given!r:.200}, expected {expected!r}"

    return judge


def _is_no_fact(ending: Ending) -> str:
    """What came back is no collator's facts, and must be told so in words."""
    if not isinstance(ending, Returned):
        return ""
    read = read_answer(ending.value, Collator, "collator")
    if isinstance(read, Unknown) and read.cause == "foreign code died" and "wrong form" in read.reason:
        return ""
    return f"was taken for {read!r:.200}"


# ---- ends


@attack()
def leave_with_0(outside: str) -> None:
    os._exit(0)


@attack()
def leave_with_113(outside: str) -> None:
    os._exit(113)


@attack(ChildRaised)
def leave_politely(outside: str) -> None:
    sys.exit(0)


@attack()
def crash(outside: str) -> None:
    ctypes.string_at(0)


@attack()
def abort(outside: str) -> None:
    os.abort()


@attack()
def kill_itself(outside: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@attack()
def halt_itself(outside: str) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


@attack()
def loop_and_ignore_signals(outside: str) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass


@attack()
def wait_for_ever(outside: str) -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


@attack()
def loop_in_c(outside: str) -> None:
    sum(range(10**13))


@attack(ChildRaised, Died)
def recurse(outside: str) -> None:
    sys.setrecursionlimit(10**9)

    def deeper(depth: int) -> int:
        return deeper(depth + 1) + 1

    deeper(0)


@attack(ChildRaised, Died)
def replace_its_program(outside: str) -> None:
    os.execv(sys.executable, [sys.executable, "-c", "pass"])


@attack()
def end_in_an_exit_handler(outside: str) -> None:
    class Last:
        def __del__(self) -> None:
            os._exit(0)

    Last()
    gc.collect()


# ---- memory, processes, output, files


@attack(ChildRaised, Died)
def take_all_memory(outside: str) -> None:
    held = []
    while True:
        held.append(bytearray(1 << 26))


@attack(ChildRaised, Died)
def map_a_huge_piece(outside: str) -> None:
    bytearray(1 << 40)


@attack()
def start_processes_without_end(outside: str) -> None:
    for _ in range(500):
        if os.fork() == 0:
            time.sleep(60)
    time.sleep(60)


@attack(Returned, ChildRaised)
def start_threads(outside: str) -> int:
    for _ in range(50):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return 1


@attack(Returned, judge=_gave("done"))
def flood_the_output(outside: str) -> str:
    for _ in range(64):
        os.write(1, b"x" * (1 << 20))
    return "done"


@attack(ChildRaised, Died)
def write_a_huge_file(outside: str) -> None:
    with (Path(tempfile.gettempdir()) / "huge").open("wb") as file:
        for _ in range(64):
            file.write(b"x" * (1 << 20))


@attack(Returned, judge=_gave("made"))
def leave_a_folder_without_rights(outside: str) -> str:
    folder = Path(tempfile.mkdtemp()) / "deep" / "deeper"
    folder.mkdir(parents=True)
    (folder / "file").write_text("x")
    folder.chmod(0)
    folder.parent.chmod(0)
    return "made"


@attack(Returned)
def fill_the_shared_memory(outside: str) -> int:
    return Path("/dev/shm/preflight-campaign").write_bytes(b"x" * (1 << 20))


@attack(ChildRaised, Returned)
def lift_its_limits(outside: str) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    with (Path(tempfile.gettempdir()) / "huge").open("wb") as file:
        file.write(b"x")


# ---- others: the process above, us, daemons


@attack(ChildRaised, Died)
def kill_the_process_above(outside: str) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(1)


@attack(ChildRaised, Died)
def halt_the_process_above(outside: str) -> None:
    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(60)


@attack(ChildRaised, landlock=6)
def kill_us(outside: str) -> None:
    os.kill(int(os.environ["PREFLIGHT_CAMPAIGN_PID"]), signal.SIGKILL)


@attack(ChildRaised, landlock=6)
def halt_us(outside: str) -> None:
    os.kill(int(os.environ["PREFLIGHT_CAMPAIGN_PID"]), signal.SIGSTOP)


@attack(Returned, judge=_gave("gone"))
def leave_a_daemon(outside: str) -> str:
    """Away from its session twice, as daemons do."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
        os._exit(0)
    time.sleep(0.2)
    return "gone"


@attack(Returned, judge=_gave("gone"))
def leave_a_daemon_without_environment(outside: str) -> str:
    subprocess.Popen(
        ["/usr/bin/env", "-i", sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    )
    time.sleep(0.2)
    return "gone"


@attack(ChildRaised, landlock=1)
def read_our_memory(outside: str) -> bytes:
    return Path(f"/proc/{os.environ['PREFLIGHT_CAMPAIGN_PID']}/mem").open("rb").read(1)


@attack(ChildRaised, landlock=1)
def read_our_environment(outside: str) -> bytes:
    return Path(f"/proc/{os.environ['PREFLIGHT_CAMPAIGN_PID']}/environ").read_bytes()


@attack(Returned, judge=_gave([]))
def look_for_secrets(outside: str) -> list[str]:
    return [name for name in os.environ if "TOKEN" in name and name != "TOKENIZERS_PARALLELISM"]


# ---- outside: files and the network


@attack(ChildRaised, landlock=3)
def write_outside(outside: str) -> None:
    (Path(outside) / "written").write_text("x")


@attack(ChildRaised, landlock=3)
def delete_outside(outside: str) -> None:
    (Path(outside) / "precious").unlink()


@attack(ChildRaised, landlock=3)
def write_outside_through_a_link(outside: str) -> None:
    link = Path(tempfile.mkdtemp()) / "link"
    link.symlink_to(outside)
    (link / "written").write_text("x")


@attack(ChildRaised, landlock=3)
def move_a_file_out(outside: str) -> None:
    inside = Path(tempfile.mkdtemp()) / "file"
    inside.write_text("x")
    inside.rename(Path(outside) / "written")


@attack(ChildRaised, landlock=3)
def truncate_outside(outside: str) -> None:
    os.truncate(Path(outside) / "precious", 0)


@attack(Returned, judge=_gave(1), landlock=3)
def write_outside_by_a_program(outside: str) -> int:
    return (
        subprocess.run(["/bin/sh", "-c", f"echo x > {outside}/written"], check=False, capture_output=True).returncode
        and 1
    )


@attack(ChildRaised)
def reach_the_network(outside: str) -> None:
    socket.create_connection(("127.0.0.1", 9), timeout=1)


@attack(ChildRaised)
def send_a_datagram(outside: str) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))


@attack(ChildRaised)
def reach_the_network_by_ipv6(outside: str) -> None:
    socket.create_connection(("::1", 9), timeout=1)


# ---- the answer


@attack(Died, Returned)
def close_every_descriptor(outside: str) -> int:
    os.closerange(0, 4096)
    return 1


@attack()
def write_noise_into_every_descriptor(outside: str) -> None:
    for number in range(3, 4096):
        try:
            os.write(number, b"\x00" * 7 + b"\x05hello")
        except OSError:
            continue
    time.sleep(60)


@attack()
def announce_a_huge_answer(outside: str) -> None:
    for number in range(3, 4096):
        try:
            os.write(number, b"\xff" * 8)
        except OSError:
            continue
    time.sleep(60)


@attack()
def return_an_object(outside: str) -> object:
    return {"collator": threading.Lock()}


@attack()
def return_itself(outside: str) -> object:
    value: list[object] = []
    value.append(value)
    return value


@attack()
def return_too_much(outside: str) -> bytes:
    return b"x" * (1 << 23)


@attack(Died, Returned, judge=_is_no_fact)
def return_a_deep_nest(outside: str) -> object:
    value: object = None
    for _ in range(900):
        value = [value]
    return {"collator": value}


@attack(Returned, judge=_is_no_fact)
def return_5(outside: str) -> int:
    return 5


@attack(Returned, judge=_is_no_fact)
def return_nothing(outside: str) -> None:
    return None


@attack(Returned, judge=_is_no_fact)
def return_an_empty_list(outside: str) -> list[object]:
    return []


@attack(Returned, judge=_is_no_fact)
def return_an_empty_dict(outside: str) -> dict[str, object]:
    return {}


@attack(Returned, judge=_is_no_fact)
def return_half_a_struct(outside: str) -> object:
    return {"collator": {"type": "Collator"}}


@attack(Returned, judge=_is_no_fact)
def return_an_unknown_of_a_wrong_form(outside: str) -> object:
    return {"collator": {"type": "Unknown", "reason": 5}}


@attack(Died, Returned, judge=_is_no_fact)
def return_an_extension_type(outside: str) -> object:
    return {"collator": msgspec.msgpack.Ext(5, b"x")}


@attack(Died, Returned, judge=_is_no_fact)
def return_numbers_past_all_bounds(outside: str) -> object:
    return {"collator": [2**63, -(2**63), float("nan"), float("inf")]}


@attack(Died, ChildRaised, Returned)
def patch_everything(outside: str) -> str:
    def refuse(*arguments: object, **named: object) -> NoReturn:
        raise RuntimeError("patched")

    for name in ("print", "open", "len", "isinstance", "str", "list", "repr", "getattr", "min", "type", "dict"):
        setattr(builtins, name, refuse)
    for module, name in ((os, "write"), (os, "_exit"), (os, "getpid"), (sys, "exit"), (os, "fstat")):
        setattr(module, name, refuse)
    return "patched"


@attack(Died, ChildRaised, Returned)
def spoil_the_list_of_modules(outside: str) -> str:
    class Trap:
        def __getattribute__(self, name: str) -> NoReturn:
            os._exit(0)

    modules: Any = sys.modules
    modules["trap"] = Trap()
    return "spoiled"


@attack(Returned)
def answer_twice(outside: str) -> int:
    return 1 if os.fork() else 2


@attack(ChildRaised)
def raise_what_cannot_be_said(outside: str) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    raise MuteError


@attack(ChildRaised)
def raise_forged_lines(outside: str) -> None:
    raise ValueError("\x1b[2J\nCLEAR: no findings\n\u202e")


@attack(Returned, ChildRaised)
def use_worker_processes(outside: str) -> int:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return int(sum(pool.map(len, ["a", "bc"])))


# ---- the run


@contextmanager
def _told(outside: Path) -> Iterator[dict[str, str]]:
    """Our own environment with a secret in it, and what the children are told of us."""
    os.environ[SECRET] = "not to be seen"
    try:
        yield {"PREFLIGHT_CAMPAIGN_PID": str(os.getpid())}
    finally:
        del os.environ[SECRET]


def attack_children(count: int, *, names: tuple[str, ...] = ()) -> Tally:
    """The first `count` attacks of the table, or those that are named, each in a child of one sandbox."""
    tally = Tally(part="hostile children")
    chosen = [ATTACKS[name] for name in names] or list(ATTACKS.values())[:count]
    there = measure_landlock()
    tally.left_out = [f"{e.name}: needs Landlock {e.landlock}, here {there}" for e in chosen if e.landlock > there]
    chosen = [each for each in chosen if each.landlock <= there]
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder, _told(Path(folder)) as told:
        precious = Path(folder) / "precious"
        precious.write_text("untouched", encoding="utf-8")
        with Sandbox(preload=(), limits=LIMITS, environment=told) as sandbox:
            for each in chosen:
                ending = sandbox.run("tests.campaign.hostile:run_one", {"name": each.name, "outside": folder})
                wrong = each.judge(ending) if isinstance(ending, each.may_end) else f"ended as {ending!r:.200}"
                if list(Path(folder).iterdir()) != [precious] or precious.read_text(encoding="utf-8") != "untouched":
                    wrong = wrong or "changed what lies outside of its folder"
                after = sandbox.run("json:loads", {"s": "1"})
                if not (isinstance(after, Returned) and after.value == 1):
                    wrong = wrong or f"the next call ended as {after!r:.200}"
                tally.note(type(ending).__name__, f"{each.name}: {wrong}" if wrong else "")
        left = _find_left()
        if left:
            tally.note("left over", f"still there: {left}")
    return tally


def _find_left() -> list[str]:
    """Processes that a sandbox of this process started, by the variable that marks them, and what lies in shared memory."""
    found = [str(path) for path in Path("/dev/shm").glob("preflight-campaign*")]
    mine = str(os.getpid())
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and place.name != mine:
            try:
                words = (place / "environ").read_bytes()
                state = (place / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
            except OSError:
                continue
            if f"PREFLIGHT_CAMPAIGN_PID={mine}".encode() in words.split(b"\0") and state not in "ZX":
                found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:80])
    return found
