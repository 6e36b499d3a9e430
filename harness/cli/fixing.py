"""`--fix`: what is safe to change in the YAML file, shown as a diff and then written; what is in Python as a patch."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from preflight_ocr.harness.cli.steps import save

if TYPE_CHECKING:
    from preflight_ocr.harness.config.schema import Config
    from preflight_ocr.harness.facts import Facts
    from preflight_ocr.harness.judging.findings import Finding
    from preflight_ocr.harness.verdict.report import Report

SAFE = ("CFG004", "CFG005", "LRA001", "SEC001")
"""Diagnoses whose snippet is the part of the YAML file as it should be, and changes nothing that somebody may have meant."""

NEVER = ("CFG007",)
"""That code may run is for a person to say, who has read it."""

PLACEHOLDER = "THE_"
"""Begins a word of a snippet that the user has to look up."""

Edit = tuple[str, str, Any]
"""("rename", key, new key), ("set", key, value) or ("delete", key, None)."""


def fix(config: Config, report: Report, *, unsafe: bool = False, patch: Path | None = None) -> tuple[str, ...]:
    """Change the YAML file, with a diff first, and print or write a patch for what is in Python. Returns the codes that
    were mended in the YAML file.

    `unsafe` also sets what the snippets of other findings say, and deletes keys that change nothing. `patch` is where the
    patch goes in place of the screen.
    """
    before, after, done = _mend(config, report, unsafe=unsafe)
    possible = done if unsafe else _mend(config, report, unsafe=True, is_told=False)[2]
    if before != after:
        from preflight_ocr.harness import atomic

        name = str(config.source)
        for line in difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, lineterm=""):
            click.echo(line)
        save(lambda: atomic.write_text(config.source, after), config.source)
        click.echo(f"Fixed: {', '.join(done)}; check again to see what is left")
    offered = [code for code in possible if code not in done]
    if offered:
        what = ", ".join(offered)
        click.echo(
            f"Left as it is: {what}; --unsafe-fixes writes what the report proposes, which may not be what you want"
        )
    patched = _patch(report, patch)
    if before == after and not patched and not offered:
        click.echo("Nothing here can be fixed in the YAML file without asking you; each finding says what to do.")
    return done


def _mend(config: Config, report: Report, *, unsafe: bool, is_told: bool = True) -> tuple[str, str, tuple[str, ...]]:
    """The YAML text as it is and as it should be, and the codes whose findings are mended. What cannot be is told."""
    from preflight_ocr.harness.config.editing import CannotEdit, delete_key, rename_key, set_key
    from preflight_ocr.harness.foreign.files import read_bytes

    before = after = read_bytes(config.source).decode("utf-8")
    done: list[str] = []
    for finding in report.findings:
        changed = after
        try:
            for kind, path, value in _list_edits(finding, report.facts, unsafe=unsafe):
                if kind == "delete":
                    changed = delete_key(changed, path)
                else:
                    changed = (rename_key if kind == "rename" else set_key)(changed, path, value)
        except CannotEdit as error:
            if is_told:
                click.echo(f"Not fixed: {finding.code}, {error}; change it by hand", err=True)
            continue
        if changed != after:
            after = changed
            done.append(finding.code)
    return before, after, tuple(dict.fromkeys(done))


def _list_edits(finding: Finding, facts: Facts, *, unsafe: bool) -> Iterator[Edit]:
    from preflight_ocr.harness.facts import Unknown

    if finding.code == "CFG001":
        if not isinstance(facts.configuration, Unknown):
            keys = facts.configuration.unknown_keys
            yield from (("rename", key.path, key.nearest) for key in keys if key.nearest)
            yield from (("delete", key.path, None) for key in keys if unsafe and not key.nearest)
    elif finding.code == "CFG002":
        if unsafe and not isinstance(facts.configuration, Unknown):
            yield from (("delete", key.path, None) for key in facts.configuration.ineffective_keys)
    elif finding.code in NEVER:
        return
    elif unsafe or (finding.code in SAFE and not finding.places):
        yield from _read_snippet(finding.fix.snippet)


def _read_snippet(snippet: str) -> tuple[Edit, ...]:
    """What a snippet sets, where all of it is `section: {key: value}` with keys that we know; else nothing."""
    from preflight_ocr.harness.config.keys import is_known

    try:
        document = yaml.safe_load(snippet)
    except yaml.YAMLError:
        return ()
    if not isinstance(document, dict) or not all(isinstance(keys, dict) for keys in document.values()):
        return ()
    edits = tuple(("set", f"{part}.{key}", value) for part, keys in document.items() for key, value in keys.items())
    known = all(is_known(path) and not isinstance(value, dict) for _, path, value in edits)
    return edits if known and PLACEHOLDER not in snippet else ()


def _patch(report: Report, target: Path | None) -> bool:
    """Print or write the patch for Python, if there is one. Nothing of the user's source is written."""
    from preflight_ocr.harness import atomic
    from preflight_ocr.reports.places import find_project

    project = find_project(report)
    lines: list[str] = []
    codes: list[str] = []
    for name, (before, after, causes) in _edit_sources(report, project).items():
        old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
        for line in difflib.unified_diff(old, new, f"a/{name}", f"b/{name}"):
            lines.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
        codes += causes
    if not lines:
        return False
    named = ", ".join(dict.fromkeys(codes))
    if target is not None:
        save(lambda: atomic.write_text(target, "".join(lines)), target)
        click.echo(f"Patch for {named}: {target}; read it, then type `git apply {target}` in {project}")
    else:
        click.echo(
            f"A patch for {named} in {project}; your Python is left as it is, --patch FILE writes this for `git apply`:"
        )
        click.echo("".join(lines), nl=False)
    return True


def _edit_sources(report: Report, project: Path) -> dict[str, tuple[str, str, list[str]]]:
    """Path below the project -> its text as it is, as it should be, and the codes of the findings behind that."""
    from preflight_ocr.harness.config.python_editing import CannotEdit
    from preflight_ocr.reports.places import locate

    edited: dict[str, tuple[str, str, list[str]]] = {}
    for finding in report.findings:
        for spot in locate(finding, report) if finding.places else ():
            if spot.root != "project" or not spot.path.endswith(".py"):
                continue
            try:
                text = (project / spot.path).read_bytes().decode("utf-8")
                before, now, codes = edited.get(spot.path, (text, text, []))
                after = _edit_source(finding, now, spot.line, report.facts)
            except (OSError, UnicodeDecodeError):
                continue
            except CannotEdit as error:
                click.echo(f"No patch: {finding.code} at {spot.path}:{spot.line}, {error}; change it by hand", err=True)
                continue
            if after != now:
                edited[spot.path] = (before, after, [*codes, finding.code])
    return edited


def _edit_source(finding: Finding, text: str, line: int, facts: Facts) -> str:
    """The text with what this finding's fix is, where that is mechanical; as it was where a person has to think."""
    from preflight_ocr.harness.config.python_editing import rename_identifier, rename_keyword, set_keyword
    from preflight_ocr.harness.facts import Unknown

    if finding.code == "LRA001":
        name, _, value = finding.fix.snippet.partition("=")
        return set_keyword(text, line, name, value)
    if finding.code == "ENV002":
        return set_keyword(text, line, "encoding", '"utf-8"', call="open")
    if finding.code != "VER002" or isinstance(facts.subject, Unknown):
        return text
    for use in facts.subject.absent_names:
        new = use.replacement or ""
        if use.site.line != line or not new.isidentifier():
            continue
        if use.name.endswith("=)"):
            text = rename_keyword(text, line, use.name.rpartition("(")[2].removesuffix("=)"), new)
        elif "." in use.name and (old := use.name.rpartition(".")[2]) in text:
            text = rename_identifier(text, old, new)
    return text
