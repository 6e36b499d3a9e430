"""`preflight memory`: what a training step needs, told before anything is downloaded."""

from __future__ import annotations

from pathlib import Path

import click

from preflight_ocr.harness.cli.options import FILE, TRUST, Refusal, preflight
from preflight_ocr.harness.cli.steps import load, open_directory, require, save
from preflight_ocr.harness.foreign.files import is_folder

EPILOG = """\b
Exit codes:
   0  it fits, or there is no budget.vram_gb to hold it against
  12  it does not fit (the finding memory_over_budget, a BLOCKER)
   2  usage or configuration error
   3  there is a budget, and whether it fits is not known
   1  Preflight itself failed
"""


@preflight.command(epilog=EPILOG, short_help="Predict the peak memory of a training step.")
@click.argument("source", metavar="CONFIG|MODEL_DIR", type=click.Path(path_type=Path))
@TRUST
@click.option("--json", "json_path", type=FILE, help="Write every figure in bytes as JSON.")
@click.option("--plot", "plot_path", type=FILE, help="Draw it by part, as .svg or .png.")
@click.pass_context
def memory(context: click.Context, source: Path, trust: bool, json_path: Path | None, plot_path: Path | None) -> None:
    """Predict the peak of a training step of the full-size model, without its weights and without a card.

    A YAML file CONFIG gives the whole step, held against its budget.vram_gb; a model directory gives the weight part.
    """
    import shutil

    import msgspec

    from preflight_ocr.harness import atomic
    from preflight_ocr.harness.commands.memory import predict
    from preflight_ocr.harness.config.errors import UserError
    from preflight_ocr.harness.isolation import SandboxUnavailable
    from preflight_ocr.reports.memory.plot import FORMATS
    from preflight_ocr.reports.memory.terminal import render
    from preflight_ocr.reports.terminal import Progress

    if plot_path is not None and plot_path.suffix.lower() not in FORMATS:
        raise Refusal(f"--plot {plot_path}: the suffix is {plot_path.suffix!r}, expected .svg or .png")
    if plot_path is not None:
        require("--plot", ("matplotlib",))
    config = open_directory(source) if is_folder(source) else load(source, trust=trust)
    progress = Progress()
    try:
        answer = predict(config, trust=trust or config.model.trust_remote_code, progress=progress)
    except (UserError, SandboxUnavailable) as error:
        raise Refusal(str(error)) from None
    finally:
        progress.clear()
    click.echo(render(answer, width=min(shutil.get_terminal_size((100, 40)).columns, 110)))
    if json_path is not None:
        text = msgspec.json.format(msgspec.json.encode(answer), indent=2) + b"\n"
        save(lambda: atomic.write_bytes(json_path, text), json_path)
        click.echo(f"JSON: {json_path}")
    if plot_path is not None:
        from preflight_ocr.reports.memory import plot

        try:
            save(lambda: plot.write(answer, plot_path), plot_path)
        except UserError as error:
            raise Refusal(str(error)) from None
        click.echo(f"Plot: {plot_path}")
    if answer.budget is not None:
        context.exit({True: 0, False: 12, None: 3}[answer.fits])
