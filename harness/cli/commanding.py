"""What follows `--` on a command line: the user's own training command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from preflight_ocr.harness.cli.options import Refusal

if TYPE_CHECKING:
    from preflight_ocr.harness.check.command import Watched
    from preflight_ocr.harness.verdict.gate import Waiver

NO_TRUST = (
    "the command is your own code, and it is run up to where training would begin: read it, then give --trust. Nothing "
    "was run"
)


def require_command(words: Sequence[str], *, trust: bool, level: str = "ran") -> None:
    """Refuse what cannot be held before anything runs."""
    from preflight_ocr.harness.holding.command import find_foreign_interpreter

    if level != "ran":
        raise Refusal(f"--level {level} is for a YAML file: a command has to run to be looked at, on the CPU so far")
    if not trust:
        raise Refusal(NO_TRUST)
    foreign = find_foreign_interpreter(words)
    if foreign is not None:
        raise Refusal(
            f"the command runs in {foreign}, Preflight in {sys.executable}: the packages are others. Install preflight-ocr "
            f"beside your packages and call it from there"
        )


def choose_subject(config_path: Path | None, words: Sequence[str], *, trust: bool) -> Path | None:
    """The YAML file, or None where a command was given that may run. Refuses both and neither."""
    if words and config_path is not None:
        raise Refusal(f"both {config_path} and a command behind `--` were given; give one of them")
    if words:
        require_command(words, trust=trust)
    elif config_path is None:
        raise Refusal("give a YAML file, or your training command behind `--`: --trust -- python train.py")
    return config_path


def watch_command(
    words: Sequence[str],
    *,
    only: tuple[str, ...] = (),
    waivers: tuple[Waiver, ...] = (),
    seconds: float | None = None,
    rows: int | None = None,
    quiet: bool = False,
) -> Watched:
    """Check the command, saying on the way what it is doing."""
    from preflight_ocr.harness.check.command import check_command
    from preflight_ocr.harness.config.errors import UserError
    from preflight_ocr.harness.isolation import SandboxUnavailable
    from preflight_ocr.reports.terminal import Progress

    progress = Progress(quiet=quiet)
    try:
        return check_command(words, only=only, waivers=waivers, progress=progress, seconds=seconds, rows=rows)
    except (UserError, SandboxUnavailable) as error:
        raise Refusal(str(error)) from None
    finally:
        progress.clear()


def say_remarks(watched: Watched) -> None:
    """How the command was held, and what of it was left out: on stderr, beside the verdict."""
    for line in watched.remarks:
        click.echo(line, err=True)


def become(words: Sequence[str]) -> NoReturn:
    """Run the command for real in place of this process, its arguments and environment untouched."""
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform == "win32":  # there, exec returns to the shell before the program has ended
        raise SystemExit(subprocess.run(list(words), check=False).returncode)
    try:
        os.execvp(words[0], list(words))
    except OSError as error:
        raise Refusal(f"{Path(words[0])}: cannot be started: {error.strerror}") from None
