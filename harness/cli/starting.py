"""`preflight init`, `preflight schema`: the first YAML file of a project, and what an editor knows of it."""

from __future__ import annotations

from pathlib import Path

import click

from preflight_ocr.harness.cli.options import TRUST, Refusal, preflight
from preflight_ocr.harness.cli.steps import save


@preflight.command(short_help="Write a first YAML file for a model and data.")
@click.option("--model", metavar="ID|DIR", help="The model: its folder or its hub id.")
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder with metadata.json or .jsonl, or with train/, val/ and test/ that have one.",
)
@click.option(
    "--from",
    "source",
    metavar="YAML",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Take over what axolotl's or LLaMA-Factory's YAML file says.",
)
@click.option(
    "-o",
    "--output",
    "target",
    metavar="FILE",
    default=Path("preflight.yaml"),
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write. One that is there is left as it is, unless --force.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@TRUST
def init(model: str | None, data: Path | None, source: Path | None, target: Path, force: bool, trust: bool) -> None:
    """Write a commented YAML file for what is found: the model's family, the rows, and how long they become.

    The longest rows are made into a batch in a child, so that max_seq_length cuts none of them. A model's own code runs
    only with --trust. Of a hub id that is not on this machine, everything but the weights is fetched.
    """
    from preflight_ocr.harness import atomic
    from preflight_ocr.harness.commands.start.draft import draft
    from preflight_ocr.harness.config.errors import UserError
    from preflight_ocr.reports.terminal import Progress

    if model is None and data is None and source is None:
        raise Refusal("give --model ID|DIR, --data DIR, or --from another program's YAML file")
    if target.exists() and not force:
        raise Refusal(f"{target} is there already; give --force to write over it, or -o with another name")
    progress = Progress()
    try:
        found = draft(target=target.absolute(), model=model, data=data, source=source, trust=trust, progress=progress)
    except UserError as error:
        raise Refusal(str(error)) from None
    except OSError as error:
        raise Refusal(f"{target}: cannot be written: {error.strerror or error}") from None
    finally:
        progress.clear()
    save(lambda: atomic.write_text(target, found.text), target)
    for sentence in found.told:
        click.echo(sentence)
    click.echo(f"Written: {target}")
    for remark in found.remarks:
        click.echo(f"To do: {remark}")
    click.echo(f"Next: read it, then type `preflight check {target}`")


@preflight.command(short_help="Print the JSON schema of the YAML file.")
@click.option(
    "-o",
    "--output",
    "target",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it to this file instead.",
)
def schema(target: Path | None) -> None:
    """Print the JSON schema of the YAML file, with which an editor completes keys and checks values while you type."""
    import msgspec

    from preflight_ocr.harness import atomic
    from preflight_ocr.harness.config.json_schema import build_schema

    text = msgspec.json.format(msgspec.json.encode(build_schema()), indent=2) + b"\n"
    if target is None:
        click.echo(text.decode("utf-8"), nl=False)
    else:
        save(lambda: atomic.write_bytes(target, text), target)
        click.echo(f"Schema: {target}")
