"""`preflight window`, `index`: which releases can work."""

from __future__ import annotations

from pathlib import Path

import click

from preflight_ocr.harness.cli.options import FILE, Refusal, preflight
from preflight_ocr.harness.cli.steps import load, save
from preflight_ocr.harness.foreign.files import is_folder


@preflight.command(short_help="Print which releases the code can work with.")
@click.argument("source", metavar="CONFIG|MODEL_DIR", type=click.Path(path_type=Path))
@click.option("--json", "json_path", type=FILE, help="Write the window as JSON as well.")
def window(source: Path, json_path: Path | None) -> None:
    """Print which releases of transformers, peft and accelerate the code can work with, by reading it.

    Reads the model's remote code and your own parts; runs nothing and needs none of these libraries installed.
    """
    import shutil

    import msgspec

    from preflight_ocr.harness import atomic
    from preflight_ocr.harness.commands.window import read_window
    from preflight_ocr.harness.config.errors import UserError
    from preflight_ocr.reports.window.terminal import render

    try:
        found = read_window(source if is_folder(source) else load(source))
    except UserError as error:
        raise Refusal(str(error)) from None
    click.echo(render(found, width=min(shutil.get_terminal_size((100, 40)).columns, 110)))
    if json_path is not None:
        save(lambda: atomic.write_bytes(json_path, msgspec.json.format(msgspec.json.encode(found)) + b"\n"), json_path)
        click.echo(f"JSON: {json_path}")


@preflight.group(short_help="Keep the list of what each release exports.")
def index() -> None:
    """Keep the index of what each release of transformers, peft and accelerate exports, which `window` reads."""


@index.command(short_help="Add the releases that came out since.")
@click.option(
    "--package",
    "packages",
    multiple=True,
    type=click.Choice(["transformers", "peft", "accelerate"]),
    help="Only this library. Can be given several times.",
)
def update(packages: tuple[str, ...]) -> None:
    """Add the releases that came out since: their wheels are downloaded and read, nothing in them is installed or run."""
    from preflight_ocr.harness.commands.window.releases import PACKAGES
    from preflight_ocr.harness.commands.window.update import update as bring_up_to_date
    from preflight_ocr.harness.config.errors import UserError

    try:
        for package in packages or PACKAGES:
            [done] = bring_up_to_date([package], progress=lambda message: click.echo(message, err=True))
            said = f"{', '.join(done.added)} added" if done.added else "nothing newer"
            instead = f" in place of {', '.join(done.dropped)}" if done.dropped else ""
            click.echo(f"{package}: {said}{instead}; {done.count} releases, up to {done.newest}")
    except UserError as error:
        raise Refusal(str(error)) from None
