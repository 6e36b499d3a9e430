"""Mutated inputs: every file of a healthy project changed, and the check asked what it says.

Wrong is: a traceback of ours or a probe that broke, an exit code that is not documented, text that a terminal would act on,
more than the time or the memory that is promised, and a good word on a file that cannot be parsed or decoded.
"""

from __future__ import annotations

import ast
import json
import multiprocessing
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import yaml

from preflight_ocr.fixtures.corpus.models import MODELS
from preflight_ocr.fixtures.corpus.plant import write_project
from tests.campaign.mutations import mutate
from tests.campaign.tally import Tally

SECONDS = 60
MEMORY = 2**30  # bytes above what the process holds before it reads anything
_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_BATCH = 100


class TooSlow(BaseException):
    """Not an Exception, so that no door takes it for a probe that failed."""


def attack_reading(count: int, *, seed: int = 0) -> Tally:
    """`count` mutated projects at level read, in one worker that is replaced when it dies."""
    return _attack("mutated inputs, read level", count, seed, level="read")


def attack_running(count: int, *, seed: int = 1) -> Tally:
    """`count` mutated projects at level ran."""
    return _attack("mutated inputs, ran level", count, seed, level="ran")


def _attack(part: str, count: int, seed: int, *, level: str) -> Tally:
    tally = Tally(part=part)
    numbers = [f"{seed}-{number}" for number in range(count)]
    size = _BATCH if level == "read" else 5
    context = multiprocessing.get_context("spawn")
    for start in range(0, count, size):
        batch = numbers[start : start + size]
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            try:
                for ending, wrong in pool.submit(try_batch, batch, level).result():
                    tally.note(ending, wrong)
            except BrokenProcessPool:
                tally.note("died", f"a worker died in {batch[0]} to {batch[-1]}")
    return tally


def try_batch(numbers: list[str], level: str, *, limited: bool = True) -> list[tuple[str, str]]:
    """(ending, what is wrong) of each. `limited`: this process may hold no more memory from here on."""
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        healthy = _build(Path(folder) / "healthy")
        if limited and level == "read":
            _limit_memory()
        return [_try_one(healthy, Path(folder) / "mutated", number, level) for number in numbers]


def _build(folder: Path) -> Path:
    folder.mkdir()
    project = write_project(folder, [])
    shutil.copytree(MODELS / "deepseek_ocr", folder / "model", ignore=shutil.ignore_patterns("__pycache__"))
    document = yaml.safe_load(project.read_text(encoding="utf-8"))
    document["model"]["base_model"] = "model"
    document["data"] |= {"train_path": "train", "val_path": "val"}
    document["training"]["output_dir"] = "out"
    project.write_text(yaml.safe_dump(document), encoding="utf-8")
    return folder


def _limit_memory() -> None:
    """An address space beyond which an allocation fails; children at level ran have limits of their own."""
    if sys.platform == "linux":
        import resource

        held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, resource.RLIM_INFINITY))


def _try_one(healthy: Path, folder: Path, number: str, level: str) -> tuple[str, str]:
    source = random.Random(number)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(healthy, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "README.md")
    weighty = [path for path in files if path.suffix in (".yaml", ".json", ".py", ".safetensors", ".jinja")]
    path = source.choice(weighty if source.random() < 0.75 else files)
    path = folder / "project.yaml" if source.random() < 0.15 else path
    done = mutate(path, source)
    what = f"{number} {path.relative_to(folder)}: {done}"
    started = time.monotonic()
    try:
        with _deadline(SECONDS if level == "read" else 900):
            ending, said = _ask(folder / "project.yaml", level)
    except TooSlow:
        return "too slow", f"{what}: not done after {time.monotonic() - started:.0f} s"
    except BaseException as error:  # noqa: BLE001 - whatever comes out of the check is what is looked for
        return "raised", f"{what}: {type(error).__name__}: {error}"
    return ending, f"{what}: {said}" if (said := said or _contradict(path, folder, ending)) else ""


def _ask(project: Path, level: str) -> tuple[str, str]:
    """How the check ended, and what is wrong about what it said."""
    from preflight_ocr.harness.check.check import check
    from preflight_ocr.harness.config.config import load_config
    from preflight_ocr.harness.config.errors import UserError
    from preflight_ocr.harness.judging.findings import EXIT_CODES
    from preflight_ocr.reports import json_writer, terminal

    try:
        config = load_config(project)
        report = check(config, level=level, trust=level == "ran", seconds=120)  # type: ignore[arg-type]
    except UserError as error:
        return "exit 2", _judge_text(str(error))
    json_writer.render(report)
    text = terminal.render(report)
    broken = [reason for reason in _list_failures(report.facts) if reason]
    crashed = [f"{identity}: {error}" for identity, error in report.crashed.items()]
    wrong = _judge_text(text) or "; ".join([*broken, *crashed])[:400]
    if report.exit_code not in EXIT_CODES or report.exit_code == 1:
        wrong = wrong or f"exit code {report.exit_code}"
    if report.exit_code and text.startswith("CLEAR"):
        wrong = wrong or f"CLEAR beside exit code {report.exit_code}"
    return f"exit {report.exit_code}", wrong


def _list_failures(value: Any) -> Iterator[str]:
    """The reasons of every fact that a probe of ours broke over."""
    from preflight_ocr.harness.facts import Unknown

    if isinstance(value, Unknown):
        yield value.reason if value.failed else ""
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _list_failures(getattr(value, name))


def _judge_text(text: str) -> str:
    if found := _ACTING.search(text):
        return f"{found[0]!r} reached the terminal: ...{text[max(0, found.start() - 60) : found.start()]!r}"
    forged = [line for line in text.splitlines()[1:] if line.lstrip().startswith("CLEAR: no findings")]
    return f"a forged line reached the terminal: {forged[0]!r}" if forged else ""


def _contradict(path: Path, folder: Path, ending: str) -> str:
    """What is wrong with a good word on this file, read again by the libraries that training would use."""
    if ending != "exit 0":
        return ""
    reason = find_damage(path)
    return f"exit 0, and {path.relative_to(folder)} cannot be read: {reason}" if reason else ""


def find_damage(path: Path) -> str:
    """Why a file cannot be parsed or decoded, "" for one that can. Knows nothing of the code that is tested."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.suffix == ".json":
                json.loads(path.read_bytes().decode("utf-8-sig"))
            elif path.suffix == ".yaml":
                yaml.safe_load(path.read_text(encoding="utf-8-sig"))
            elif path.suffix == ".py":
                ast.parse(path.read_bytes())
            elif path.suffix == ".jinja":
                path.read_text(encoding="utf-8")
            elif path.suffix == ".safetensors":
                from safetensors import safe_open

                with safe_open(path, framework="numpy"):
                    pass
            else:
                with Image.open(path) as image:
                    image.load()
    except Exception as error:  # noqa: BLE001 - every library has exceptions of its own for the same thing
        return f"{type(error).__name__}: {error}"[:200]
    return ""


class _deadline:
    """SIGALRM after so many seconds, where the system has it."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        if hasattr(signal, "SIGALRM"):
            signal.signal(signal.SIGALRM, _ring)
            signal.alarm(self._seconds)

    def __exit__(self, *raised: object) -> None:
        if hasattr(signal, "SIGALRM"):
            signal.alarm(0)


def _ring(number: int, frame: FrameType | None) -> None:
    raise TooSlow
