"""What the commands share on their command line: the group, common options, and how a refusal looks."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from preflight_ocr.harness.cli.console import prepare
from preflight_ocr.harness.judging.findings import EXIT_CODES, Level

EPILOG = "\b\nExit codes:\n" + "".join(f"  {code:>2}  {meaning}\n" for code, meaning in EXIT_CODES.items())

FILE = click.Path(dir_okay=False, path_type=Path)
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
WAIVERS = click.option("--waivers", type=FILE, help="YAML list of findings that are accepted for a while.")


class Refusal(click.ClickException):
    """Something the user has to put right before we can work: one message, exit code 2."""

    exit_code = 2


@click.group(epilog=EPILOG)
@click.version_option(package_name="preflight-ocr")
def preflight() -> None:
    """Find what would make fine-tuning an OCR vision-language model fail or learn nothing.

    Before a GPU hour is spent: `preflight check CONFIG` looks at the model, the data, the collator, the adapter and the
    installed versions, and names every defect with its root cause and its fix.
    """
    prepare()
