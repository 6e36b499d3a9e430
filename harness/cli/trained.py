"""`preflight predict`, `evaluate`, `export`: what is done with a trained adapter."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from preflight_ocr.harness.cli.console import calm_libraries, log_failure
from preflight_ocr.harness.cli.full_disk import RefuseFullDisk
from preflight_ocr.harness.cli.options import CONFIG, FILE, GIVEN_FILE, Refusal, preflight
from preflight_ocr.harness.cli.ranks import decide_once, quieten_others, share_code
from preflight_ocr.harness.cli.steps import load, refuse_unwritable, require, save
from preflight_ocr.harness.launched import find_place

if TYPE_CHECKING:
    from preflight_ocr.harness.config.schema import Config

BLIND = 3
_SHOWN = 5  # failed pages that are named
_ROOM = "; make room, and give the same command again: nothing that was written before is lost"
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
def refuse(output: Path | None = None) -> Iterator[None]:
    """What the user can put right becomes a sentence and exit code 2; from here on the model's own code may run.
    `output` is where the block writes.

    Libraries that are imported in the block are quiet: what is printed is pages, figures and our own progress.
    """
    from preflight_ocr.harness.config.errors import UserError

    calm_libraries()
    sys.excepthook = functools.partial(log_failure, what="The model failed", plea="")
    try:
        with RefuseFullDisk(output or Path.cwd(), lambda: _ROOM):
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

    quieten_others()

    def prepare_reading() -> tuple[Any, Any]:
        require("reading pages", RUNNING)
        with refuse():
            from preflight_ocr.harness.commands.trained import predict as reading
            from preflight_ocr.harness.training.adapter_files import configure_reading, read_adapter

            adapter = read_adapter(adapter_path)
            config = configure_reading(adapter, source=config_path, base=base, trust=trust)
            reading.find_pages(inputs)  # nothing is loaded for no page
            return adapter, reading.choose_prompt(config, prompt)

    (adapter, config), _ = decide_once(prepare_reading, lambda prepared: None)
    with refuse(output):
        from preflight_ocr.harness.commands.trained import predict as reading
        from preflight_ocr.harness.training.meeting import meet
        from preflight_ocr.harness.training.reader import open_reader
        from preflight_ocr.reports.terminal import Progress

        is_first = find_place().is_first
        if is_first and (remark := reading.explain_prompt(config, adapter)):
            click.echo(remark, err=True)
        if shape is None:
            ending = output.suffix.lower() if output is not None else ""
            shape = {".txt": "txt", ".md": "md"}.get(ending, "jsonl")
        asked = reading.Asked(
            adapter=adapter.digest(), prompt=config.data.prompt, max_new_tokens=max_new_tokens, dpi=dpi
        )
        progress = Progress(quiet=not is_first)
        try:
            with meet() as meeting, open_reader(config, adapter, named=base is not None) as reader:
                done = reading.predict(
                    reader,
                    inputs,
                    asked=asked,
                    output=output,
                    shape=shape,
                    batch_size=batch_size,
                    progress=progress,
                    show=functools.partial(click.echo, nl=False),
                    meeting=meeting,
                )
                code = share_code(meeting, BLIND if done is not None and done.failed else 0)
        except KeyboardInterrupt:
            progress.clear()
            if output is not None and is_first:
                click.echo(f"\nWhat was read is in {output}.part; the same command goes on from there.", err=True)
            raise
        finally:
            progress.clear()
    if done is not None:
        _conclude(done, output)
    context.exit(code)


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


@preflight.command(short_help="Measure how well a model reads your rows.")
@CONFIG
@click.option(
    "--adapter", "adapter_path", metavar="DIR", type=click.Path(path_type=Path), help="Compare it with the base model."
)
@click.option(
    "--split", type=click.Choice(["test", "val", "train"]), default="test", show_default=True, help="Which rows."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N rows.")
@click.option("--html", "html_path", type=FILE, help="Write a page with the worst rows.")
@click.option("--json", "json_path", type=FILE, help="Write every figure and every row as JSON.")
@BATCH
@click.option("--allow-overlap", is_flag=True, help="Measure although training rows have some of the pictures.")
@TRUST
@click.pass_context
def evaluate(
    context: click.Context,
    config_path: Path,
    adapter_path: Path | None,
    split: Any,
    limit: int | None,
    html_path: Path | None,
    json_path: Path | None,
    batch_size: int,
    allow_overlap: bool,
    trust: bool,
) -> None:
    """Measure CER and WER of the base model, and of an adapter beside it, on the rows of CONFIG.

    With intervals, by length, script and source, and with what is taken for what. Texts are compared as they are unless
    `evaluation.normalise` says otherwise. Exits with 3 where a row could not be read.
    """
    from preflight_ocr.harness.config.packages import RUNNING

    quieten_others()
    is_first = find_place().is_first

    def prepare_reading() -> Config:
        require("measuring how well a model reads", (*RUNNING, "jiwer"))
        return load(config_path, trust=trust)

    def open_what_is_measured(config: Config) -> tuple[Any, Any]:
        with refuse():
            from preflight_ocr.harness.commands.trained import evaluate as measuring
            from preflight_ocr.harness.training.adapter_files import read_adapter

            adapter = read_adapter(adapter_path) if adapter_path is not None else None
            # Whether pictures are in two splits is looked at once.
            return adapter, measuring.open_rows(config, split, allow_overlap=allow_overlap or not is_first)

    if is_first:
        refuse_unwritable(path for path in (json_path, html_path) if path is not None)
    config, opened = decide_once(prepare_reading, open_what_is_measured)
    adapter, rows = open_what_is_measured(config) if opened is None else opened
    output = json_path or html_path
    with refuse(output):
        from preflight_ocr.harness.commands.trained import evaluate as measuring
        from preflight_ocr.harness.training.meeting import meet
        from preflight_ocr.harness.training.reader import open_reader
        from preflight_ocr.reports.evaluation import page, terminal
        from preflight_ocr.reports.terminal import Progress

        progress = Progress(quiet=not is_first)
        releases = {name: version(name) for name in ("torch", "transformers", "peft", "jiwer")}
        journal = None
        try:
            with meet() as meeting, open_reader(config, adapter) as reader:
                most = measuring.find_limit(reader, rows, limit)
                if output is not None:
                    digest = adapter.digest() if adapter is not None else None
                    journal = measuring.open_journal(
                        output, reader, split=split, adapter=digest, max_new_tokens=most, versions=releases
                    )
                found = measuring.evaluate(
                    reader,
                    rows,
                    split=split,
                    adapter=adapter_path,
                    batch_size=batch_size,
                    limit=limit,
                    max_new_tokens=most,
                    progress=progress,
                    versions=releases,
                    journal=journal,
                    meeting=meeting,
                )
                code = share_code(meeting, BLIND if found is not None and found.failed else 0)
        except KeyboardInterrupt:
            progress.clear()
            if is_first and journal is not None:
                click.echo(f"\nWhat was read is in {journal.path}; the same command goes on from there.", err=True)
            elif is_first and output is None:
                said = "Nothing was kept; give --json or --html, and each row is kept as soon as it is read."
                click.echo(f"\n{said}", err=True)
            raise
        finally:
            progress.clear()
            if journal is not None:
                journal.close()
    if found is not None:
        click.echo(terminal.render(found))
        lost = []
        for kind, write, path in (("JSON", page.write_json, json_path), ("HTML", page.write, html_path)):
            if path is not None:
                try:
                    save(functools.partial(write, found, path), path)
                except Refusal as refusal:  # the other one may have room
                    lost.append(refusal.format_message())
                else:
                    click.echo(f"{kind}: {path}")
        if lost:
            raise Refusal("\n".join(lost))
    if journal is not None:
        journal.end()
    context.exit(code)


@preflight.command(short_help="Hand on a trained adapter, proved to be what was trained.")
@ADAPTER
@BASE
@SOURCE
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write; it must be new or empty.",
)
@click.option("--merge", is_flag=True, help="Write the whole model with the adapter in its weights.")
@click.option("--dtype", help="float32, bfloat16 or float16. [default: as loaded]")
@click.option("--metrics", type=GIVEN_FILE, help="What `preflight evaluate --json` wrote, for the model card.")
@TRUST
def export(
    adapter_path: Path,
    base: str | None,
    config_path: Path | None,
    output: Path,
    merge: bool,
    dtype: str | None,
    metrics: Path | None,
    trust: bool,
) -> None:
    """Write an adapter, or the model it makes of its base, as a folder that others can load.

    The folder is loaded again, and its logits are compared with those of base plus adapter; where they differ by more than
    the dtype explains, nothing is written and the figure is told. With a model card.
    """
    from preflight_ocr.harness.config.packages import RUNNING

    require("exporting an adapter", RUNNING)
    with refuse(output):
        from preflight_ocr.harness.commands.trained import export as handing
        from preflight_ocr.harness.training.adapter_files import configure_reading, read_adapter
        from preflight_ocr.harness.training.model import find_dtype
        from preflight_ocr.harness.training.reader import open_reader

        adapter = read_adapter(adapter_path)
        handing.refuse_folder(output)
        find_dtype(dtype)
        measured = handing.read_measured(metrics) if metrics is not None else None
        config = configure_reading(adapter, source=config_path, base=base, trust=trust)
        with open_reader(config, adapter, named=base is not None) as reader:
            done = handing.export(reader, adapter, output, merge=merge, dtype=dtype, measured=measured)
    proof = done.proof
    click.echo(
        f"Loaded again: logits {proof.distance:.3g} away from base plus adapter ({done.dtype}), which the adapter moved by "
        f"{proof.effect:.3g}; the best token is the same at {proof.agreement:.1%} of the positions"
    )
    for remark in done.remarks:
        click.echo(f"note: {remark}")
    click.echo(f"Written: {done.directory}")
