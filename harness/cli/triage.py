"""`preflight diagnose`: from a pasted message to the diagnosis."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from preflight_ocr.harness.cli.commanding import require_command, say_remarks, watch_command
from preflight_ocr.harness.cli.options import (
    EPILOG,
    FILE,
    LEVEL,
    SECONDS,
    TRUST,
    CommandTail,
    Refusal,
    get_tail,
    preflight,
)
from preflight_ocr.harness.cli.steps import load, run_check, save
from preflight_ocr.harness.judging.findings import Level

if TYPE_CHECKING:
    from preflight_ocr.harness.verdict.contracts import Judgement


@preflight.command(cls=CommandTail, epilog=EPILOG, short_help="Name the diagnosis behind a traceback or a log.")
@click.argument(
    "text_path",
    metavar="[FILE]",
    default="-",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@click.argument("config_path", metavar="[CONFIG]", required=False, type=click.Path(path_type=Path))
@LEVEL
@TRUST
@SECONDS
@click.option("--vocabulary", type=click.IntRange(min=2), metavar="N", help="How many tokens the model knows.")
@click.option(
    "--json", "json_path", type=FILE, help="Write the answer as JSON; - for standard output, in place of text."
)
@click.pass_context
def diagnose(
    context: click.Context,
    text_path: Path,
    config_path: Path | None,
    level: Level,
    trust: bool,
    seconds: float | None,
    vocabulary: int | None,
    json_path: Path | None,
) -> None:
    """Name the diagnosis behind a pasted traceback or a training log.

    Reads FILE, or standard input without one or for `-`. With a CONFIG beside it, the contracts that the text points at
    are run to confirm it, as `preflight check` runs them; so they are with your training command behind `--`, as in
    `preflight diagnose train.log --trust -- python train.py`.
    """
    import shlex
    import shutil

    import msgspec

    from preflight_ocr.harness import atomic
    from preflight_ocr.harness.commands.triage import confirm, diagnose, read_vocabulary
    from preflight_ocr.reports.triage.terminal import render

    if config_path is None and text_path.suffix.lower() in (".yaml", ".yml"):
        raise Refusal(
            f"{text_path}: seen a CONFIG, expected a log in front of it; type `preflight diagnose - {text_path}`"
        )
    if words := get_tail(context):
        if config_path is not None:
            raise Refusal(f"both {config_path} and a command behind `--` were given; give one of them")
        require_command(words, trust=trust, level=level)
    config = load(config_path, trust=trust) if config_path else None
    if str(text_path) == "-" and sys.stdin.isatty():
        click.echo("Paste the traceback or the log, then Ctrl-D (on Windows Ctrl-Z and Enter).", err=True)
    with click.open_file(str(text_path), "rb") as stream:
        size = vocabulary or (read_vocabulary(config) if config else None)
        shown = f"--trust -- {shlex.join(words)}" if words else str(config_path or "CONFIG")
        answer = diagnose(stream, source=str(text_path), vocabulary=size, config=shown)
    if answer.is_empty:
        raise Refusal(f"{text_path}: nothing to read; paste a traceback or give a log")
    if config is not None:
        answer = confirm(answer, lambda codes: run_check(config, level=level, only=codes, seconds=seconds).judgements)
    elif words:
        answer = confirm(answer, lambda codes: _judge_command(words, codes, seconds))
    if str(json_path) != "-":
        click.echo(render(answer, width=min(shutil.get_terminal_size((100, 40)).columns, 110)))
    if json_path is not None:
        text = msgspec.json.format(msgspec.json.encode(answer), indent=2) + b"\n"
        save(lambda: atomic.write_bytes(json_path, text), json_path)
        click.echo(f"JSON: {json_path}")
    context.exit(answer.exit_code)


def _judge_command(words: Sequence[str], codes: tuple[str, ...], seconds: float | None) -> Iterable[Judgement]:
    """Hold the command and judge these contracts on what it would train."""
    watched = watch_command(words, only=codes, seconds=seconds)
    say_remarks(watched)
    return watched.report.judgements
