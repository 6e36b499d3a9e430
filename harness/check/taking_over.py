"""In the command's own process: run it up to training, then look at what it holds, each probe in a fork of its own.

Called in a child with limits. The probes' processes are forked from the state that was held, so that the command runs
once; where nothing can be forked it runs once for each probe.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from preflight_ocr.harness import atomic
from preflight_ocr.harness.holding.command import Command
from preflight_ocr.harness.holding.held import Held, Interruption
from preflight_ocr.harness.holding.hooks import Holder, calm_trackers
from preflight_ocr.harness.holding.run import run_command

PROBES = ("learning", "forward", "collator", "processor", "rows")
TOGETHER = 2
TOLD = "progress.txt"
NO_ADAPTER = "the command trains without an adapter that PEFT put on the model"
DIED = "foreign code died"
Failure = tuple[str, str]
"""Why a probe has no answer, and the cause as `Unknown` names it."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a command. `at` is empty where it was not held; `ended` then says how it ended.

    `program` is the one that trains, with the launchers in front of it taken off, and `batch_size` that of its loader.
    `config` is the document of the run as the command set it up. `answers` are the probes' values, `failures` why a probe
    has none, `seconds` how long each took; `own_seconds` is the command's own time before it was held. `lacking` is what it
    asked for in loading -> the package that it needs and that is not installed.
    """

    at: str = ""
    ended: str = ""
    frames: tuple[tuple[str, int, str], ...] = ()
    launchers: tuple[str, ...] = ()
    program: Command | None = None
    batch_size: int = 1
    own_seconds: float = 0.0
    undone: tuple[str, ...] = ()
    lacking: dict[str, str] = {}
    config: dict[str, Any] = {}
    answers: dict[str, Any] = {}
    failures: dict[str, Failure] = {}
    seconds: dict[str, float] = {}


def serve(
    words: list[str],
    folder: str,
    seconds: float,
    rows: int | None,
    only: list[str],
    forks: bool,
    visit: dict[str, Any] | None = None,
) -> Any:
    """Run in a child: a Taken as builtins. `only` are the probes to run; `seconds` bounds each.

    `visit` says what else is asked of the parts: `target` ("module:function", which is called with the parts and a folder)
    and its `arguments`.
    """
    from preflight_ocr.probes.workbench.model import build_like

    place = Path(folder)
    started = time.monotonic()
    answer = Taken()

    def tell(what: str) -> None:
        with (place / TOLD).open("a", encoding="utf-8") as file:
            file.write(what.replace("\n", " ") + "\n")

    def take_over(held: Held) -> None:
        nonlocal answer
        own = round(time.monotonic() - started, 2)
        answer = look(held, place, seconds=seconds, only=only, forks=forks, tell=tell, visit=visit)
        answer = msgspec.structs.replace(answer, own_seconds=own)

    calm_trackers()
    holder = Holder(take_over=take_over, build=build_like, tell=tell, rows=rows)
    holder.install()
    tell("starting the command")
    ended = ""
    frames: tuple[tuple[str, int, str], ...] = ()
    launchers: list[str] = []
    programs: list[Command] = []
    try:
        run_command(words, place, launchers.append, programs.append)
        ended = "it ended by itself"
    except Interruption:
        ended = "held"
    except SystemExit as leaving:
        ended = f"it left with exit code {leaving.code}"
    except BaseException as error:  # noqa: BLE001 (the command is foreign code: what it raises is its answer)
        ended = f"it raised {type(error).__name__}: {str(error)[:600]}"
        frames = read_frames(error)
    if answer.at:
        return msgspec.to_builtins(msgspec.structs.replace(answer, launchers=tuple(launchers), program=programs[-1]))
    return msgspec.to_builtins(
        Taken(
            ended=ended,
            frames=frames,
            launchers=tuple(launchers),
            own_seconds=round(time.monotonic() - started, 2),
            undone=tuple(dict.fromkeys(holder.undone)),
        )
    )


def read_frames(error: BaseException) -> tuple[tuple[str, int, str], ...]:
    """(file, line, code) of the frames that are neither ours nor a library's; the last of all where there is none."""
    from preflight_ocr.probes.workbench.tracing import is_foreign

    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if is_foreign(Path(f.filename))] or frames[-1:]
    return tuple((f.filename, f.lineno or 0, (f.line or "").strip()) for f in own)


def look(
    held: Held,
    folder: Path,
    *,
    seconds: float,
    only: list[str],
    forks: bool,
    tell: Callable[[str], None],
    visit: dict[str, Any] | None = None,
) -> Taken:
    """Describe the run and let the probes look at the parts."""
    from preflight_ocr.probes.workbench.description import describe_run
    from preflight_ocr.probes.workbench.held import has_adapter

    config, directory = describe_run(held, folder)
    without = () if has_adapter(held.model) else ("reload",)
    only = [name for name in only if name not in without]
    probes = {
        name: partial(run_probe, name, held, config, directory, folder, not forks and len(only) > 1) for name in only
    }
    if visit is not None:
        probes["visit"] = partial(run_visit, held, config, directory, folder, visit)
    if forks:
        answers, failures, spent = _fork_all(probes, folder, seconds, tell)
    else:
        answers, failures, spent = _call_all(probes, tell)
    for name in without:
        failures[name] = (NO_ADAPTER, "not looked at")
    if without and "learning" in answers:
        answers["learning"] = _without_adapter(answers["learning"])
    return Taken(
        at=held.at,
        batch_size=held.batch_size,
        undone=held.undone,
        lacking=held.lacking,
        config=msgspec.to_builtins(config, enc_hook=str),
        answers=answers,
        failures=failures,
        seconds=spent,
    )


def _without_adapter(answer: dict[str, Any]) -> dict[str, Any]:
    """What was seen of the learning where all of the model is trained: nothing is said of an adapter."""
    from preflight_ocr.harness.facts import Unknown

    reason = msgspec.to_builtins(Unknown(reason=NO_ADAPTER))
    parts = dict.fromkeys(("census", "recital", "round_trip", "merged_equals_unmerged"), reason)
    return {**answer, "adapter": reason, "learning": {**answer["learning"], **parts}}


def run_probe(name: str, held: Held, config: Any, directory: Path, folder: Path, keeps: bool = False) -> Any:
    """One probe's value, as builtins, from the parts that are held. `keeps` leaves the adapter where it is."""
    import torch

    from preflight_ocr.probes.workbench.held import HeldAssembly

    torch.set_grad_enabled(True)
    place = folder / ("learning" if name == "reload" else name)
    place.mkdir(exist_ok=True)
    parts = HeldAssembly(held, config, directory=directory, adapted=name == "learning" or keeps)
    if name == "processor":
        from preflight_ocr.probes.batch.processor import look_at_processor

        return msgspec.to_builtins(look_at_processor(config))
    if name == "rows":
        from preflight_ocr.probes.workbench.description import describe_rows

        return msgspec.to_builtins(describe_rows(parts))
    parts.require_batch()
    if name == "collator":
        from preflight_ocr.probes.batch import illustrations

        return illustrations.observe_parts(parts)
    if name == "forward":
        from preflight_ocr.probes.forward import forward

        return forward.observe_parts(parts)
    from preflight_ocr.probes.rehearsal import life

    return life.reload_parts(parts, place) if name == "reload" else life.observe_parts(parts, place)


def run_visit(held: Held, config: Any, directory: Path, folder: Path, visit: Mapping[str, Any]) -> Any:
    """What a function of another command finds in the parts, the adapter taken off."""
    import importlib

    from preflight_ocr.probes.workbench.held import HeldAssembly

    module, _, name = str(visit["target"]).partition(":")
    place = folder / "visit"
    place.mkdir(exist_ok=True)
    parts = HeldAssembly(held, config, directory=directory, adapted=False)
    parts.require_batch()
    return getattr(importlib.import_module(module), name)(parts, place, **visit["arguments"])


# ---- in forks


def _fork_all(
    probes: Mapping[str, Callable[[], Any]], folder: Path, seconds: float, tell: Callable[[str], None]
) -> tuple[dict[str, Any], dict[str, Failure], dict[str, float]]:
    """Run each probe in a process forked from this one, a few at a time; "reload" follows on "learning"."""
    waiting = [name for name in probes if name != "reload"]
    running: dict[int, tuple[str, float]] = {}
    answers: dict[str, Any] = {}
    failures: dict[str, Failure] = {}
    spent: dict[str, float] = {}
    together = max(1, min(TOGETHER, os.cpu_count() or 1))
    while waiting or running:
        while waiting and len(running) < together:
            name = waiting.pop(0)
            tell(f"running: {name}")
            running[_fork(probes[name], folder / f"{name}.answer")] = (name, time.monotonic())
        pid, status = _await_one(running, seconds)
        name, begun = running.pop(pid)
        spent[name] = round(time.monotonic() - begun, 3)
        value, failure = _read_answer(folder / f"{name}.answer", status, seconds)
        if failure is not None:
            failures[name] = failure
        else:
            answers[name] = value
            if name == "learning" and "reload" in probes:
                waiting.insert(0, "reload")
    if "reload" in probes and "reload" not in {**answers, **failures}:
        failures["reload"] = ("the saved adapter was not loaded again", "not looked at")
    return answers, failures, spent


def _fork(work: Callable[[], Any], answer: Path) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setpgid(0, 0)
        atomic.write_bytes(answer, msgspec.msgpack.encode({"value": work()}))
    except BaseException as error:  # noqa: BLE001 (a copy of the command's process must in no case go on as the command)
        with contextlib.suppress(BaseException):
            traceback.print_exc()
            told = (f"{type(error).__name__}: {str(error)[:600]}", _name_cause(error))
            atomic.write_bytes(answer, msgspec.msgpack.encode({"failure": told}))
    finally:
        os._exit(0)


def _name_cause(error: BaseException) -> str:
    """Ours where it comes from a line of ours that did not mean to raise it; else the probe simply has no answer."""
    from preflight_ocr.harness.home import is_ours

    if type(error).__name__ == "NotABatch":
        return "not looked at"
    frames = traceback.extract_tb(error.__traceback__)
    on_purpose = isinstance(error, ValueError | LookupError | OSError) or "preflight_ocr" in type(error).__module__
    return "no answer" if on_purpose or not frames or not is_ours(Path(frames[-1].filename)) else "our own failure"


def _await_one(running: Mapping[int, tuple[str, float]], seconds: float) -> tuple[int, int]:
    """The first process that ended, and its status; one that is over its time is ended with its family."""
    while True:
        for pid, (_, begun) in running.items():
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)  # what it left behind
                return pid, status
            if time.monotonic() - begun > seconds:
                for end in (os.killpg, os.kill):  # its group, and itself where it had made none yet
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        end(pid, signal.SIGKILL)
                _, status = os.waitpid(pid, 0)
                return pid, status
        time.sleep(0.02)


def _read_answer(path: Path, status: int, seconds: float) -> tuple[Any, Failure | None]:
    if path.is_file():
        told = msgspec.msgpack.decode(path.read_bytes())
        if "value" in told:
            return told["value"], None
        reason, cause = told["failure"]
        return None, (reason, cause)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL:
        return None, (f"foreign code died: the process exceeded {seconds:g} s, or its memory, and was stopped", DIED)
    said = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code} and no answer"
    return None, (f"foreign code died: the process {said}", DIED)


def _call_all(
    probes: Mapping[str, Callable[[], Any]], tell: Callable[[str], None]
) -> tuple[dict[str, Any], dict[str, Failure], dict[str, float]]:
    """Run the probes one after the other in this very process, where it cannot be forked."""
    answers: dict[str, Any] = {}
    failures: dict[str, Failure] = {}
    spent: dict[str, float] = {}
    for name, work in probes.items():
        tell(f"running: {name}")
        begun = time.monotonic()
        try:
            answers[name] = work()
        except Exception as error:  # noqa: BLE001 (the door at which a probe's failure becomes a reason)
            failures[name] = (f"{type(error).__name__}: {str(error)[:600]}", _name_cause(error))
        spent[name] = round(time.monotonic() - begun, 3)
    return answers, failures, spent
