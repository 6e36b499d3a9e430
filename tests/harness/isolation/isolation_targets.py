"""What foreign code may do to us, one function each. Called in children only, by `test_isolation.py`."""

from __future__ import annotations

import builtins
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn


def add(a: int, b: int) -> int:
    return a + b


def echo(value: object) -> object:
    return value


def leave_at_once() -> None:
    os._exit(0)


def leave_with_status(status: int) -> None:
    os._exit(status)


def leave_politely() -> None:
    sys.exit(0)


def crash() -> None:
    print("just before the crash")
    ctypes.string_at(0)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_its_parent() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


def stop_its_parent() -> None:
    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(60)


def loop() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def deadlock() -> None:
    first, second = threading.Lock(), threading.Lock()
    with first:
        thread = threading.Thread(target=lambda: second.acquire() and first.acquire())
        thread.start()
        time.sleep(0.05)
        with second:
            pass


def start_many(file: str, count: int) -> None:
    """A fork bomb with an end; every process notes its id in `file`."""
    for _ in range(count):
        if os.fork() == 0:
            with Path(file).open("a", encoding="utf-8") as notes:
                notes.write(f"{os.getpid()}\n")
            time.sleep(600)
    time.sleep(0.3)


def start_daemon(file: str) -> None:
    command = f"import os, time; open({file!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", command], start_new_session=True)
    while not (Path(file).exists() and Path(file).read_text(encoding="utf-8")):
        time.sleep(0.02)


def answer_twice() -> int:
    return 1 if os.fork() else 2


def take_bytes(size: int) -> int:
    return len(bytearray(size))


def take_tensor(size: int) -> int:
    import torch

    return int(torch.zeros(size, dtype=torch.uint8).numel())


def share_out_memory(each: int, count: int) -> None:
    for _ in range(count):
        if os.fork() == 0:
            held = b"x" * each
            time.sleep(60 + len(held) * 0)
    time.sleep(60)


def flood(size: int) -> str:
    print("the beginning")
    chunk = b"x" * 2**20
    for _ in range(size // len(chunk)):
        os.write(1, chunk)
    print("the end", file=sys.stderr)
    return "done"


def print_from_everywhere() -> None:
    print("python")
    os.write(2, b"descriptor \xff\n")
    ctypes.CDLL(None).puts(b"library")
    subprocess.run(["echo", "process"], check=True)


def read_input() -> str:
    return sys.stdin.read()


def close_everything() -> int:
    os.closerange(0, 4096)
    return 1


def replace_everything(file: str) -> int:
    os.closerange(3, 4096)
    note = os.open(file, os.O_WRONLY | os.O_CREAT)
    for number in range(100, 1000):
        os.dup2(note, number)
    return 1


def write_into_every_descriptor() -> None:
    for number in range(3, 4096):
        try:
            os.write(number, b"\x00" * 7 + b"\x05hello")
        except OSError:
            continue
    time.sleep(60)


def write_file(file: str, size: int) -> None:
    with Path(file).open("wb") as output:
        for _ in range(size // 2**20):
            output.write(b"x" * 2**20)


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class HomemadeError(Exception):
    pass


def raise_mute() -> None:
    raise MuteError


def raise_homemade() -> None:
    raise HomemadeError("made at home: тест")


def raise_with_a_lone_surrogate() -> None:
    raise ValueError("\udce9 " * 10**6)


def raise_from_a_cause() -> None:
    try:
        raise KeyError("pixel_values")
    except KeyError as error:
        raise ValueError("no images") from error


def recurse() -> None:
    recurse()


def return_object() -> object:
    return {"model": threading.Lock()}


def return_itself() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


def return_much(size: int) -> bytes:
    return b"x" * size


def patch_builtins() -> str:
    def refuse(*arguments: object, **named: object) -> NoReturn:
        raise RuntimeError("patched")

    for name in ("print", "open", "len", "isinstance", "str", "list", "repr", "getattr", "min"):
        setattr(builtins, name, refuse)
    for module, name in ((os, "write"), (os, "_exit"), (os, "getpid"), (sys, "exit"), (os, "fstat")):
        setattr(module, name, refuse)
    sys.stdout = sys.stderr = None
    return "patched"


def patch_builtins_and_raise() -> None:
    patch_builtins()
    raise HomemadeError("after patching")


def count_threads() -> list[int]:
    import torch

    return [torch.get_num_threads(), len(list(Path("/proc/self/task").iterdir()))]


def find_path() -> list[str]:
    return sys.path


def get_environment(name: str) -> str | None:
    return os.environ.get(name)


def make_socket() -> None:
    import socket

    socket.socket(socket.AF_INET).close()


def leave_files() -> list[str]:
    import tempfile

    shared = Path("/dev/shm") / f"preflight-test-{os.getpid()}"
    shared.write_text("x", encoding="utf-8")
    left = Path(tempfile.mkdtemp()) / "file"
    left.write_text("x", encoding="utf-8")
    return [str(left), str(shared)]


def import_module(name: str) -> None:
    import importlib

    importlib.import_module(name)
