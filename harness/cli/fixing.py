"""`--fix`: what is safe to change in the YAML file, shown as a diff and then written."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import click
import yaml

from preflight_ocr.harness.cli.steps import save

if TYPE_CHECKING:
    from preflight_ocr.harness.config.schema import Config
    from preflight_ocr.harness.verdict.report import Report

SAFE = ("CFG004", "CFG005", "LRA001")
"""Diagnoses whose snippet is the part of the YAML file as it should be."""


def fix(config: Config, report: Report) -> None:
    """Rename mistyped keys and set what the snippets of `SAFE` say, with a diff first; the rest is left to the user."""
    from preflight_ocr.harness import atomic
    from preflight_ocr.harness.config.editing import CannotEdit, rename_key, set_key
    from preflight_ocr.harness.facts import Unknown
    from preflight_ocr.harness.foreign.files import read_bytes

    before = after = read_bytes(config.source).decode("utf-8")
    done: list[str] = []
    for finding in report.findings:
        edits: list[tuple[str, str, object]] = []
        if finding.code == "CFG001" and not isinstance(report.facts.configuration, Unknown):
            edits = [
                ("rename", key.path, key.nearest) for key in report.facts.configuration.unknown_keys if key.nearest
            ]
        elif finding.code in SAFE and not finding.places:
            snippet = yaml.safe_load(finding.fix.snippet)
            edits = [("set", f"{part}.{key}", value) for part, keys in snippet.items() for key, value in keys.items()]
        changed = after
        try:
            for kind, path, value in edits:
                changed = rename_key(changed, path, str(value)) if kind == "rename" else set_key(changed, path, value)
        except CannotEdit as error:
            click.echo(f"Not fixed: {finding.code}, {error}; change it by hand", err=True)
            continue
        if changed != after:
            after = changed
            done.append(finding.code)
    if before == after:
        click.echo("Nothing here can be fixed in the YAML file without asking you; each finding says what to do.")
        return
    name = str(config.source)
    for line in difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, lineterm=""):
        click.echo(line)
    save(lambda: atomic.write_text(config.source, after), config.source)
    click.echo(f"Fixed: {', '.join(done)}; check again to see what is left")
