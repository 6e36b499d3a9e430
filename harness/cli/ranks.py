"""One gate for all processes of a run: the first decides, the others wait for it and obey."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

from preflight_ocr.harness.cli.console import INTERRUPTED, calm_libraries
from preflight_ocr.harness.cli.options import Refusal
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.launched import find_place

if TYPE_CHECKING:
    from preflight_ocr.harness.training.meeting import Meeting
    from preflight_ocr.harness.verdict.gate import Waiver

Subject = TypeVar("Subject")
Decision = TypeVar("Decision")
OTHERWISE = 1  # what Python exits with where an exception ended it
_VERDICT = "verdict"
_READY = "ready"


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What a process has before it: `parts` are digests of what the check depends on, from the first of each machine.

    `error` is what refuses the run there, "" for nothing.
    """

    name: str
    machine: str
    parts: dict[str, str] = {}
    error: str = ""


def quieten_others() -> None:
    """Let the first process alone write what all would write; what goes wrong in another is still said, with its rank."""
    if find_place().is_first:
        return
    calm_libraries()
    logging.getLogger("preflight_ocr").setLevel(logging.ERROR)
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the rest of the process


def decide_once(
    prepare: Callable[[], Subject], decide: Callable[[Subject], Decision], *, waivers: Sequence[Waiver] = ()
) -> tuple[Subject, Decision | None]:
    """What `prepare` returns, in each process, and what `decide` made of it: None in all but the first, which decides.

    Where the first ends in any other way, every process ends with the same exit code, and only the first says why. The first
    of each other machine compares what a configuration names there with what was decided on; where that differs, or
    `prepare` refused in any of them, none goes on. `waivers` is read when `prepare` has ended, which may fill it.
    """
    if find_place().size == 1:
        subject = prepare()
        return subject, decide(subject)
    from preflight_ocr.harness.training.meeting import meet

    try:
        with meet() as meeting:
            assert meeting is not None
            if meeting.place.is_first:
                return _lead(meeting, prepare, decide, waivers)
            return _follow(meeting, prepare, waivers), None
    except UserError as error:
        raise Refusal(str(error)) from None


def _lead(
    meeting: Meeting,
    prepare: Callable[[], Subject],
    decide: Callable[[Subject], Decision],
    waivers: Sequence[Waiver],
) -> tuple[Subject, Decision]:
    code = OTHERWISE
    try:
        subject = prepare()
        decided = decide(subject)
        _refuse_others(meeting, subject, waivers)
        code = 0
    except click.exceptions.Exit as ended:
        code = ended.exit_code
        raise
    except click.ClickException as refused:
        code = refused.exit_code
        raise
    except UserError:
        code = Refusal.exit_code
        raise
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else OTHERWISE
        raise
    except KeyboardInterrupt:
        code = INTERRUPTED
        raise
    finally:
        if code:
            _end_undisturbed()
        # Where we end anyway, a store that is gone must not hide why.
        with contextlib.suppress(ValueError) if code else contextlib.nullcontext():
            meeting.say(_VERDICT, str(code).encode("ascii"))
    return subject, decided


def _follow(meeting: Meeting, prepare: Callable[[], Subject], waivers: Sequence[Waiver]) -> Subject:
    """Say what is here, and do as the first says."""
    refused = ""
    parts: dict[str, str] = {}
    try:
        subject = prepare()
        if meeting.place.leads_its_machine:
            parts = _bind(subject, waivers)
    except click.ClickException as error:
        refused = error.format_message()
    except UserError as error:
        refused = str(error)
    ready = Ready(
        name=meeting.place.name,
        machine=socket.gethostname(),
        parts=parts,
        error=refused,
    )
    meeting.say(_READY, msgspec.json.encode(ready))
    code = int(meeting.hear(_VERDICT, 0))
    if code or refused:
        _end_undisturbed()
        raise click.exceptions.Exit(code or OTHERWISE)
    return subject


def share_code(meeting: Meeting | None, code: int) -> int:
    """The exit code that the first process gives, in every process."""
    if meeting is None:
        return code
    given = int(meeting.share("code", str(code).encode("ascii") if meeting.place.is_first else None))
    if given:
        _end_undisturbed()
    return given


def _end_undisturbed() -> None:
    """The launcher sends SIGTERM to all when the first of us has ended; each ends by itself, with the code of all."""
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _refuse_others(meeting: Meeting, subject: object, waivers: Sequence[Waiver]) -> None:
    """Wait for every process; refuse where one was refused, or has other files or versions than those that were checked."""
    mine: dict[str, str] | None = None
    problems = []
    for rank in range(1, meeting.place.size):
        ready = msgspec.json.decode(meeting.hear(_READY, rank), type=Ready)
        if ready.error:
            problems.append(f"{ready.name}: {ready.error}")
        elif ready.parts:
            mine = _bind(subject, waivers) if mine is None else mine
            if others := sorted(part for part in {*mine, *ready.parts} if mine.get(part) != ready.parts.get(part)):
                problems.append(
                    f"{ready.machine} has other {', '.join(others)} than {socket.gethostname()}, where they were checked; "
                    f"give every machine the same files and installed versions"
                )
    if problems:
        more = f"\n... and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise Refusal("\n".join(problems[:8]) + more)


def _bind(subject: object, waivers: Sequence[Waiver]) -> dict[str, str]:
    """Digests of what a configuration names on this machine; none for a command."""
    from preflight_ocr.harness.verdict.binding import bind

    return bind(subject, waivers=waivers, timed=False) if isinstance(subject, Config) else {}
