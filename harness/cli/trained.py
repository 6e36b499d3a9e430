"""`preflight predict`, `evaluate`, `export`: what is done with a trained adapter."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from preflight_ocr.harness.cli.console import log_failure
from preflight_ocr.harness.cli.options import GIVEN_FILE, Refusal, preflight
from preflight_ocr.harness.cli.steps import require

BLIND = 3
_SHOWN = 5  # failed pages that are named
ADAPTER = click.option(
    "--adapter",
    "adapter_path",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="The adapter folder, as `run-training` or PEFT saved it.",
)
BASE = click.option("--base", metavar="MODEL", help="The base model, where it is not the one that the adapter names.")
SOURCE = click.option(
    "--config",
    "config_path",
    type=GIVEN_FILE,
    help="The YAML file of the run. [default: the one saved with the adapter]",
)
TRUST = click.option("--trust", is_flag=True, help="Allow the base model's own code to run.")
BATCH = click.option(
    "--batch", "batch_size", type=click.IntRange(min=1), default=8, show_default=True, help="Pages at once."
)


@contextmanager
def refuse() -> Iterator[None]:
    """What the user can put right becomes a sentence and exit code 2; from here on the model's own code may run."""
    from preflight_ocr.harness.config.errors import UserError

    sys.excepthook = functools.partial(log_failure, what="The model failed", plea="")
    try:
        yield
    except UserError as error:
        raise Refusal(str(error)) from None
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise Refusal(f"{place}{error.strerror or error}; nothing that was written before is lost") from None


@preflight.command(short_help="Read pages with a trained adapter.")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@ADAPTER
@BASE
@SOURCE
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file to write. [default: print]"
)
@click.option(
    "--format",
    "shape",
    type=click.Choice(["jsonl", "txt", "md"]),
    help="[default: by the name of the output, else jsonl]",
)
@BATCH
@click.option("--prompt", help="In place of the prompt that the adapter was trained with.")
@click.option("--max-new-tokens", type=click.IntRange(min=1), default=2048, show_default=True, help="Of one page.")
@click.option(
    "--dpi", type=click.IntRange(36, 600), default=200, show_default=True, help="What PDF pages are drawn at."
)
@TRUST
@click.pass_context
def predict(
    context: click.Context,
    inputs: tuple[Path, ...],
    adapter_path: Path,
    base: str | None,
    config_path: Path | None,
    output: Path | None,
    shape: Any,
    batch_size: int,
    prompt: str | None,
    max_new_tokens: int,
    dpi: int,
    trust: bool,
) -> None:
    """Read the pages of each INPUT (a picture, a TIFF, a PDF, or a folder of them) with a trained adapter.

    Pages keep their order. A file that cannot be read is named in the output and costs no other. Until all is read, the
    texts are in OUTPUT.part; the same command goes on from there. Exits with 3 where a page could not be read.
    """
    from preflight_ocr.harness.config.packages import RUNNING

    require("reading pages", RUNNING)
    with refuse():
        from preflight_ocr.harness.commands.trained import predict as reading
        from preflight_ocr.harness.training.adapter_files import configure_reading, read_adapter
        from preflight_ocr.harness.training.reader import open_reader
        from preflight_ocr.reports.terminal import Progress

        adapter = read_adapter(adapter_path)
        config = configure_reading(adapter, source=config_path, base=base, trust=trust)
        config = reading.choose_prompt(config, prompt)
        reading.find_pages(inputs)  # nothing is loaded for no page
        if remark := reading.explain_prompt(config, adapter):
            click.echo(remark, err=True)
        if shape is None:
            ending = output.suffix.lower() if output is not None else ""
            shape = {".txt": "txt", ".md": "md"}.get(ending, "jsonl")
        asked = reading.Asked(
            adapter=adapter.digest(), prompt=config.data.prompt, max_new_tokens=max_new_tokens, dpi=dpi
        )
        progress = Progress()
        try:
            with open_reader(config, adapter, named=base is not None) as reader:
                done = reading.predict(
                    reader,
                    inputs,
                    asked=asked,
                    output=output,
                    shape=shape,
                    batch_size=batch_size,
                    progress=progress,
                    show=functools.partial(click.echo, nl=False),
                )
        except KeyboardInterrupt:
            progress.clear()
            if output is not None:
                click.echo(f"\nWhat was read is in {output}.part; the same command goes on from there.", err=True)
            raise
        finally:
            progress.clear()
    _conclude(done, output)
    context.exit(BLIND if done.failed else 0)


def _conclude(done: Any, output: Path | None) -> None:
    said = [f"{done.pages} pages"]
    said += [f"{done.taken} of them from the run before"] * bool(done.taken)
    said += [f"{done.repeated} stopped because they repeated themselves"] * bool(done.repeated)
    said += [f"{done.cut} cut at --max-new-tokens"] * bool(done.cut)
    said += [f"passed over what is neither a picture nor a PDF: {done.passed}"] * bool(done.passed)
    click.echo(", ".join(said), err=True)
    for record in done.failed[:_SHOWN]:
        click.echo(f"not read: {record.error}", err=True)
    if len(done.failed) > _SHOWN:
        click.echo(f"not read: {len(done.failed) - _SHOWN} more, which the output names", err=True)
    if output is not None:
        click.echo(f"Written: {output}")
