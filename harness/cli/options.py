"""What the commands share on their command line: the group, common options, and how a refusal looks."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, get_args

import click

from preflight_ocr.harness import atomic
from preflight_ocr.harness.cli.console import end_by_signal, prepare
from preflight_ocr.harness.foreign.text import clean
from preflight_ocr.harness.judging.findings import EXIT_CODES, Level
from preflight_ocr.harness.launched import find_place

EPILOG = "\b\nExit codes:\n" + "".join(f"{code:>4}  {meaning}\n" for code, meaning in EXIT_CODES.items())

TAIL = "preflight_ocr.command"


class OutputFile(click.Path):
    """A file to be written; `-` is standard output, which is then kept free of everything else."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value) == str(atomic.STANDARD_OUTPUT) and ctx is not None:
            if not atomic.reserve_output(sys.stdout):
                self.fail("only one report can go to standard output; name a file for the other", param, ctx)
            ctx.call_on_close(atomic.free_output)
            ctx.with_resource(contextlib.redirect_stdout(sys.stderr))
            return atomic.STANDARD_OUTPUT
        return super().convert(value, param, ctx)


FILE = OutputFile(dir_okay=False, path_type=Path)
GIVEN_FILE = click.Path(dir_okay=False, path_type=Path)
CONFIG = click.argument("config_path", metavar="CONFIG", type=click.Path(path_type=Path))
TRUST = click.option("--trust", is_flag=True, help="Allow the model's and your own code to run (in isolated children).")
LEVEL = click.option(
    "--level",
    type=click.Choice(get_args(Level)),
    default="ran",
    show_default=True,
    help="read: no foreign code runs. ran: it runs on the CPU, isolated. gpu: on an accelerator too.",
)
SECONDS = click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    help="How long each child that runs foreign code may take. [default: 600]",
)
ROWS = click.option(
    "--rows",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of a command: let `datasets` prepare only the first N rows.",
)
NETWORK = click.option(
    "--network",
    is_flag=True,
    help="Leave the network open to foreign code, which is closed where the system can close it.",
)
WAIVERS = click.option(
    "--waivers",
    type=GIVEN_FILE,
    help="YAML list of findings that are accepted for a while: "
    "`- {code: COL018, reason: random on purpose, until: 2030-01-31}`; `link` may be added.",
)


def choose_detail(command: Callable[..., Any]) -> Callable[..., Any]:
    """`-q` and `-v`, which arrive as `detail`."""
    quiet = click.option("-q", "--quiet", "detail", flag_value="quiet", help="Only the verdict and a line a finding.")
    usual = click.option("--usual", "detail", flag_value="usual", default=True, hidden=True)
    full = click.option(
        "-v",
        "--verbose",
        "detail",
        flag_value="full",
        help="Every contract by name, the versions, how long each part took.",
    )
    return quiet(full(usual(command)))


class Refusal(click.ClickException):
    """Something the user has to put right before we can work: one message, exit code 2."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(clean(message))

    def show(self, file: IO[Any] | None = None) -> None:
        """On stderr; by one of several processes with its rank."""
        place = find_place()
        if not place.is_first:
            click.echo(f"{place.name}:", err=True, file=file)
        super().show(file)


class Command(click.Command):
    """A command that Ctrl-C ends with exit code 130."""

    def invoke(self, ctx: click.Context) -> Any:
        with end_by_signal():
            return super().invoke(ctx)


class Group(Command, click.Group):
    """Commands that Ctrl-C ends with exit code 130."""


class CommandTail(Command):
    """A command of ours that takes a command of the user's behind `--`, untouched: it is left in `tail`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Ours in front of the first `--`, theirs behind it."""
        ours, theirs = args, []
        if "--" in args:
            at = args.index("--")
            ours, theirs = args[:at], args[at + 1 :]
            if not theirs:
                raise click.UsageError("there is nothing behind `--`; write the command that starts your training", ctx)
        ctx.meta[TAIL] = tuple(theirs)
        return super().parse_args(ctx, ours)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


def get_tail(context: click.Context) -> tuple[str, ...]:
    """The words behind `--`; empty where there was none."""
    words: tuple[str, ...] = context.meta[TAIL]
    return words


SHORT_HELP = {"help_option_names": ["-h", "--help"]}


@click.group(cls=Group, epilog=EPILOG, context_settings=SHORT_HELP)
@click.version_option(package_name="preflight-ocr")
def preflight() -> None:
    """Find what would make fine-tuning an OCR vision-language model fail or learn nothing.

    Before a GPU hour is spent: `preflight check CONFIG` looks at the model, the data, the collator, the adapter and the
    installed versions, and names every defect with its root cause and its fix.
    """
    prepare()
