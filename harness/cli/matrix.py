"""`preflight matrix`: the same check with several releases of transformers and PEFT."""

from __future__ import annotations

import functools
from pathlib import Path

import click

from preflight_ocr.harness.cli.commanding import require_command
from preflight_ocr.harness.cli.options import FILE, TRUST, CommandTail, Refusal, get_tail, preflight
from preflight_ocr.harness.cli.steps import require, save


@preflight.command(cls=CommandTail, short_help="Check CONFIG with several releases side by side.")
@click.argument("configs", metavar="[CONFIG]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--cells",
    "wanted",
    metavar="NAME,...",
    default="",
    help="Only these, as tf5.23.0-peft0.21.2; a pattern as 'tf5.*' for several; any release may be named.",
)
@click.option(
    "-o",
    "--output",
    "folder",
    metavar="DIR",
    default=Path("preflight-matrix"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where each cell's record is kept; a run that was stopped goes on from there.",
)
@click.option("--json", "json_path", type=FILE, help="Write all cells as one JSON file.")
@click.option("--html", "html_path", type=FILE, help="Write the matrix as one HTML page.")
@click.option("--again", is_flag=True, help="Run cells that have a record as well.")
@click.option("--keep", is_flag=True, help="Leave the environments in DIR.")
@click.option("--merge", "only_merge", is_flag=True, help="Run nothing: put together the records that are in DIR.")
@click.option("--list", "only_list", is_flag=True, help="Print the cells and run nothing.")
@TRUST
@click.pass_context
def matrix(
    context: click.Context,
    configs: tuple[Path, ...],
    wanted: str,
    folder: Path,
    json_path: Path | None,
    html_path: Path | None,
    again: bool,
    keep: bool,
    only_merge: bool,
    only_list: bool,
    trust: bool,
) -> None:
    """Check CONFIG, or your training command behind `--`, with several releases of transformers and PEFT.

    Without either, the miniatures that come with Preflight are checked.

    Each cell is an environment of its own, laid over this one: only what differs is downloaded and installed. Beside
    what was found stands what reading had predicted. Stop it when you like; the same command goes on.

    Exits with 1 where Preflight did not come back from a cell, and with 3 where nothing could be judged in any.
    """
    from preflight_ocr.harness.commands.matrix.cells import choose_cells
    from preflight_ocr.harness.commands.matrix.run import merge_folder, run_matrix
    from preflight_ocr.harness.config.errors import UserError
    from preflight_ocr.reports.matrix import describe, write

    words = get_tail(context)
    if words and configs:
        raise Refusal(f"both {configs[0]} and a command behind `--` were given; give one of them")
    if words and not (only_list or only_merge):
        require_command(words, trust=trust)
    try:
        cells = choose_cells([word.strip() for word in wanted.split(",") if word.strip()])
        if only_list:
            click.echo("\n".join(f"{cell.name}  {' '.join(cell.requirements)}" for cell in cells))
            return
        if only_merge:
            found = merge_folder(folder, configs, words)
        else:
            require("a cell of the matrix", ("torch", "safetensors", "PIL", "numpy"))  # the rest is the cell's own
            progress = functools.partial(click.echo, err=True)
            found = run_matrix(
                cells, configs, folder, words=words, trust=trust, again=again, keep=keep, progress=progress
            )
    except UserError as error:
        raise Refusal(str(error)) from None
    except OSError as error:
        raise Refusal(f"{folder}: cannot be written: {error.strerror or error}") from None
    except KeyboardInterrupt:
        click.echo(f"\nStopped. What is done is in {folder}; the same command goes on from there.", err=True)
        context.exit(130)
    click.echo(describe(found))
    if json_path is not None:
        save(functools.partial(found.write, json_path), json_path)
        click.echo(f"JSON: {json_path}")
    if html_path is not None:
        save(functools.partial(write, found, html_path), html_path)
        click.echo(f"HTML: {html_path}")
    context.exit(found.exit_code)
