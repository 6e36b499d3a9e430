"""`preflight bench`: what a step and a batch cost on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from preflight_ocr.harness.cli.options import CONFIG, FILE, TRUST, Refusal, preflight
from preflight_ocr.harness.cli.steps import load, save


def read_numbers(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """`1,2,4` as whole numbers from 1 on, each once."""
    if text is None:
        return None
    try:
        numbers = tuple(dict.fromkeys(int(word) for word in text.split(",")))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of numbers; write them as in 1,2,4") from None
    if min(numbers) < 1:
        raise click.BadParameter(f"{text!r} holds {min(numbers)}; the smallest is 1")
    return numbers


@preflight.command(short_help="Measure the training step and the collator.")
@CONFIG
@click.option("--json", "json_path", type=FILE, help="Write the figures as `pytest-benchmark compare` reads them.")
@click.option("--batch", "batches", callback=read_numbers, default="1,2,4", show_default=True, help="Batch sizes.")
@click.option(
    "--image-size",
    "image_sizes",
    callback=read_numbers,
    help="Longest sides in pixels that the pages are brought to. [default: as they are]",
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="[default: the accelerator where there is one]")
@click.option(
    "--repeats", type=click.IntRange(min=2), default=10, show_default=True, help="How often each is measured."
)
@click.option("--seconds", type=click.FloatRange(min=1), help="How long all of it may take. [default: 1800]")
@TRUST
def bench(
    config_path: Path,
    json_path: Path | None,
    batches: tuple[int, ...],
    image_sizes: tuple[int, ...] | None,
    device: Any,
    repeats: int,
    seconds: float | None,
    trust: bool,
) -> None:
    """Measure the training step and the collator of CONFIG, and the highest batch that fits budget.vram_gb.

    Runs your own parts as a training run does, in a child, after trust. What a processor cannot measure (memory,
    utilisation, power) is left out there and says so.
    """
    from preflight_ocr.harness import atomic
    from preflight_ocr.harness.commands.bench.command import bench as measure
    from preflight_ocr.harness.commands.bench.schema import write_schema
    from preflight_ocr.harness.config.errors import UserError
    from preflight_ocr.harness.isolation import SandboxUnavailable
    from preflight_ocr.reports.bench.terminal import render
    from preflight_ocr.reports.terminal import Progress

    config, progress = load(config_path, trust=trust), Progress()
    try:
        measured = measure(
            config,
            batches=batches,
            image_sizes=image_sizes or (None,),
            device=device,
            repeats=repeats,
            trust=config.model.trust_remote_code,
            seconds=seconds,
            progress=progress,
        )
    except (UserError, SandboxUnavailable) as error:
        raise Refusal(str(error)) from None
    finally:
        progress.clear()
    click.echo(render(measured))
    if json_path is not None:
        save(lambda: atomic.write_bytes(json_path, write_schema(measured)), json_path)
        click.echo(f"JSON: {json_path}")
