"""`preflight report`: look at reports that were written before."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from preflight_ocr.harness.cli.options import FILE, GIVEN_FILE, Refusal, preflight
from preflight_ocr.harness.cli.steps import save

EPILOG = """\b
Exit codes:
   0  nothing is new, or nothing worse than MINOR
  11  the worst of what is new or became worse is MAJOR
  12  the worst of what is new or became worse is BLOCKER
   2  a file cannot be used
"""


@preflight.command(epilog=EPILOG, short_help="Compare two reports: fixed, new, unchanged.")
@click.option(
    "--compare",
    "paths",
    nargs=2,
    required=True,
    type=GIVEN_FILE,
    metavar="A.json B.json",
    help="What became of A in B: two files that `preflight check --json` wrote.",
)
@click.option("--html", "html_path", type=FILE, help="Write the comparison as one HTML page.")
@click.pass_context
def report(context: click.Context, paths: tuple[Path, Path], html_path: Path | None) -> None:
    """Compare two reports: what was fixed, what is new, what stayed, and what is no longer known."""
    import shutil

    from preflight_ocr.harness.config.errors import UserError
    from preflight_ocr.reports import comparison, terminal
    from preflight_ocr.reports.json_writer import read

    try:
        first, second = (read(path) for path in paths)
    except UserError as error:
        raise Refusal(str(error)) from None
    found = comparison.compare(first, second, names=(str(paths[0]), str(paths[1])))
    width = min(shutil.get_terminal_size((100, 40)).columns, 110)
    click.echo(comparison.describe(found, colour=terminal.wants_colour(sys.stdout), width=width), color=True)
    if html_path is not None:
        save(lambda: comparison.write(found, html_path), html_path)
        click.echo(f"HTML: {html_path}")
    context.exit(found.exit_code)
