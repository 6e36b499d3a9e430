"""Several processes that belong together, as a launcher starts them: each with its rank, all with one address."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

SECONDS = 300.0
RUN_TRAINING = "from preflight_ocr.harness.cli import run_training; run_training()"
PREFLIGHT = "from preflight_ocr.harness.cli import preflight; preflight()"


class Ended(msgspec.Struct, frozen=True):
    """How one process ended, and what it wrote."""

    code: int
    out: str
    err: str


def start(words: Sequence[str], rank: int, size: int, port: int, folder: Path, **more: str) -> subprocess.Popen[str]:
    """One process of `size`. Its streams go to files in `folder`, so that none of them waits for a reader."""
    environment = {
        **os.environ,
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo",
        "XDG_STATE_HOME": str(folder / "state"),
    }  # fmt: skip
    with (folder / f"out{rank}").open("w") as out, (folder / f"err{rank}").open("w") as err:
        return subprocess.Popen(
            [sys.executable, *words], env=environment | more, stdout=out, stderr=err, text=True, cwd=folder
        )


def launch(
    words: Sequence[str], folder: Path, *, size: int = 2, each: Mapping[int, Sequence[str]] | None = None, **more: str
) -> list[Ended]:
    """Run `words` (behind the interpreter; `each` has others for some ranks) in `size` processes until all have ended.

    `more` are further variables of their environment. A process that is still there after SECONDS is killed; its code is
    then negative.
    """
    port = find_port()
    return wait(
        [start((each or {}).get(rank, words), rank, size, port, folder, **more) for rank in range(size)], folder
    )


def wait(running: Sequence[subprocess.Popen[str]], folder: Path, seconds: float = SECONDS) -> list[Ended]:
    until = time.monotonic() + seconds
    try:
        codes = [process.wait(max(0.1, until - time.monotonic())) for process in running]
    except subprocess.TimeoutExpired:
        for process in running:
            process.kill()
        codes = [process.wait() for process in running]
    return [
        Ended(
            code,
            (folder / f"out{rank}").read_text(encoding="utf-8"),
            (folder / f"err{rank}").read_text(encoding="utf-8"),
        )
        for rank, code in enumerate(codes)
    ]


def find_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
