"""`preflight prepare-data`: from scans and texts to the folders that training, validation and measuring take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from preflight_ocr.harness.cli.options import Refusal, preflight
from preflight_ocr.harness.cli.steps import load, require

if TYPE_CHECKING:
    from preflight_ocr.harness.commands.prepare.prepare import Summary

BLIND = 3
_MOST_PIXELS = 178_000_000  # beyond them Pillow itself opens nothing
_SHOWN = 5  # columns that are named


@preflight.command("prepare-data", short_help="Turn scans and texts into checked splits.")
@click.argument("source", metavar="SOURCE", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder to write: train/, val/, test/, rejected.jsonl, summary.json.",
)
@click.option("--split", "shares", metavar="A,B,C", default="80,10,10", show_default=True, help="Shares of the three.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed divides otherwise.")
@click.option("--group-by", metavar="COLUMN", help="Never divide rows of one value, such as a writer or `document`.")
@click.option("--keep", metavar="COLUMN", multiple=True, help="Keep a column of the rows. May be repeated.")
@click.option("--lines", is_flag=True, help="Cut PAGE-XML and ALTO pages into lines. [default: whole pages]")
@click.option(
    "--tokenizer",
    metavar="DIR|YAML",
    type=click.Path(path_type=Path),
    help="Reject texts that this model's tokenizer cannot write.",
)
@click.option(
    "--min-side", type=click.IntRange(min=1), default=8, show_default=True, help="Pixels of the shorter side."
)
@click.option(
    "--max-pixels", type=click.IntRange(1, _MOST_PIXELS), default=50_000_000, show_default=True, help="Of a picture."
)
@click.option(
    "--near",
    type=click.IntRange(0, 127),
    metavar="BITS",
    default=32,
    show_default=True,
    help="Near duplicates: in how many of 256 bits their perceptual hashes differ at most. 0 looks for none.",
)
@click.option(
    "--dpi", type=click.IntRange(36, 600), default=200, show_default=True, help="What PDF pages are drawn at."
)
@click.option(
    "--allow",
    metavar="DIR",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take pictures from this folder as well. May be repeated. [default: SOURCE alone]",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Processes. [default: one for each core]")
@click.option("--fresh", is_flag=True, help="Throw away what was prepared in DIR, and begin again.")
@click.pass_context
def prepare_data(
    context: click.Context,
    source: Path,
    output: Path,
    shares: str,
    seed: int,
    group_by: str | None,
    keep: tuple[str, ...],
    lines: bool,
    tokenizer: Path | None,
    min_side: int,
    max_pixels: int,
    near: int,
    dpi: int,
    allow: tuple[Path, ...],
    jobs: int | None,
    fresh: bool,
) -> None:
    """Check every row of SOURCE, and write what is sound as an imagefolder with train, val and test.

    SOURCE is anything that data.train_path takes, or a folder with page.png and page.txt, PAGE-XML, ALTO, or PDF files with
    the texts of their pages. Copies of one picture stand on one side. Each row that is left out is in rejected.jsonl with
    its reason. After Ctrl-C, the same command goes on.
    """
    from preflight_ocr.harness.config.packages import PREPARING

    require("preparing data", PREPARING)
    from preflight_ocr.harness.commands.prepare import crew
    from preflight_ocr.harness.commands.prepare.asked import Asked, Division, parse_shares, require_columns
    from preflight_ocr.harness.commands.prepare.prepare import STAGING, WORK, prepare
    from preflight_ocr.harness.commands.prepare.sources import open_source
    from preflight_ocr.harness.config.errors import UserError
    from preflight_ocr.reports.terminal import Progress

    progress = Progress()
    try:
        require_columns(group_by, keep)
        division = Division(shares=parse_shares(shares), seed=seed, near=near)
        opened = open_source(source)
        asked = Asked(
            source=opened.path.resolve(),
            roots=(opened.root, *(folder.resolve() for folder in allow)),
            staging=(output / STAGING).resolve(),
            tokenizer=_find_tokenizer(tokenizer),
            group_by=group_by,
            keep=keep,
            lines=lines,
            min_side=min_side,
            max_pixels=max_pixels,
            dpi=dpi,
        )
        done = prepare(opened, output, asked, division, jobs=jobs or crew.count_cores(), fresh=fresh, progress=progress)
    except UserError as error:
        raise Refusal(str(error)) from None
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise Refusal(f"{place}{error.strerror or error}; the same command goes on from here") from None
    except KeyboardInterrupt:
        progress.clear()
        click.echo(f"\nWhat was done is in {output / WORK}; the same command goes on from there.", err=True)
        raise
    finally:
        progress.clear()
    _tell(done, output)
    context.exit(BLIND if done.unread else 0)


def _find_tokenizer(given: Path | None) -> Path | None:
    """The folder of the tokenizer; a YAML file names it as `base_model`."""
    from preflight_ocr.harness.config.hub import find_model_files
    from preflight_ocr.harness.foreign.files import is_file

    if given is None or not is_file(given):
        return given.resolve() if given is not None else None
    config = load(given)
    found = find_model_files(config)
    if found is None:
        raise Refusal(f"{given}: {config.model.base_model} is not on this machine; fetch it, or give --tokenizer DIR")
    return found.resolve()


def _tell(done: Summary, output: Path) -> None:
    from preflight_ocr.harness.commands.prepare.reasons import CHANGES, REASONS

    rejected = sum(done.rejected.values())
    click.echo(f"{done.rows:,} rows: train {done.train:,}, val {done.val:,}, test {done.test:,}, rejected {rejected:,}")
    for title, counts, words in (("Rejected", done.rejected, REASONS), ("Changed", done.changes, CHANGES)):
        for name, count in sorted(counts.items(), key=lambda item: -item[1]):
            click.echo(f"  {title.lower()} {count:,}: {words[name]}")
    _tell_together(done)
    if done.columns_left_out:
        named = list(done.columns_left_out)
        more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
        click.echo(f"  columns left out, which --keep would keep: {', '.join(named[:_SHOWN])}{more}")
    for remark in done.remarks:
        click.echo(f"note: {remark}")
    taken = f"; {done.taken:,} were looked at by the run before" if done.taken else ""
    click.echo(f"Written: {output} in {done.seconds:.1f} s{taken}")
    click.echo(f"Next: preflight init --model MODEL --data {output}")


def _tell_together(done: Summary) -> None:
    counts: tuple[tuple[int, Any], ...] = (
        (done.exact_duplicates, "copies of an earlier picture"),
        (done.near_duplicates, "near duplicates"),
    )
    said = [f"{count:,} {what}" for count, what in counts if count]
    if done.settings["group_by"] is not None:
        said.append(f"{done.groups:,} groups by {done.settings['group_by']}")
    if said:
        click.echo(f"  on one side of the split: {', '.join(said)}; the largest set has {done.largest_set:,} rows")
