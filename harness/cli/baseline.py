"""`--baseline`: what was known before does not fail; what is new, became worse, or is no longer looked at does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from preflight_ocr.harness.cli.options import Refusal

if TYPE_CHECKING:
    from preflight_ocr.harness.verdict.report import Report
    from preflight_ocr.reports.json_writer import Document

BLIND = 3
BY_SEVERITY = (0, 11, 12)
"""The exit codes that findings decide; any other says that the check itself did not go well, and stands."""


def read_baseline(path: Path | None) -> Document | None:
    """The report of before. Raises Refusal before anything runs where it is none."""
    from preflight_ocr.harness.config.errors import UserError
    from preflight_ocr.reports.json_writer import read

    try:
        return None if path is None else read(path)
    except UserError as error:
        raise Refusal(f"--baseline {error}") from None


def settle_exit(report: Report, known: Document | None) -> int:
    """The exit code, and a line on stderr that says why it is not that of the verdict."""
    if known is None or report.exit_code not in BY_SEVERITY:
        return report.exit_code
    import msgspec

    from preflight_ocr.reports.comparison import compare
    from preflight_ocr.reports.json_writer import Document, render

    found = compare(known, msgspec.json.decode(render(report), type=Document))
    old, new = len(found.stayed) + len(found.worse), len(found.new) + len(found.worse)
    said = f"Baseline: {old} known finding{'s' * (old != 1)}, {new} new or worse"
    lost = found.lost
    if found.exit_code == 0 and (lost or report.crashed):
        seen = f"{len(lost)} contracts that it looked at were not looked at now, first {lost[0].id}" if lost else ""
        click.echo(f"{said}; {seen or 'contracts crashed'}", err=True)
        return BLIND
    click.echo(said, err=True)
    return found.exit_code
