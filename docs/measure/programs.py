"""Public training programs, checked as they are: `python -m docs.measure.programs PLACES` reads `programs.yaml`, runs
`preflight check --trust -- COMMAND` on each and keeps what was said in `docs/measured/programs.md`.

PLACES is a folder with a copy of each repository, outside this one. Each program runs in a fresh copy. A hub id that it
names is a folder of the same name there: a miniature that the fixtures write, or a few rendered pages in the form of the
data set, so that the program itself is unchanged. Lines that the installed releases refuse are named in the table with what
stands in their place. `--only NAME` runs those whose name holds NAME and keeps the other lines.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from docs.measure.program_rows import write_rows
from preflight_ocr.fixtures.corpus.models import place_model
from preflight_ocr.harness import atomic
from preflight_ocr.harness.foreign.text import clean_line

PROGRAMS = Path(__file__).with_name("programs.yaml")
MEASURED = Path(__file__).resolve().parents[1] / "measured"
KEPT, PAGE = MEASURED / "programs.json", MEASURED / "programs.md"
LONGEST = 600  # seconds
RELEASES = ("torch", "transformers", "peft", "trl", "accelerate")


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the program that the installed releases or this machine refuse."""

    file: str
    old: str
    new: str
    why: str


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What a person found when they looked whether a finding is right."""

    verdict: Literal["true", "arguable", "false"]
    why: str


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One training program: `place` is its folder below PLACES, "" for one from an installed package."""

    name: str
    source: str
    command: tuple[str, ...]
    place: str = ""
    folder: str = "."
    models: dict[str, str] = {}
    rows: dict[str, str] = {}
    files: dict[str, str] = {}
    edits: tuple[Edit, ...] = ()
    environment: dict[str, str] = {}
    findings: dict[str, Judged] = {}


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of one program said. `held` is in seconds, None where the command was not held; then `said` tells why.

    `versions` are the releases that were installed where it ran.
    """

    name: str
    held: float | None
    seconds: float
    verdict: str
    kept: int
    broken: int
    skipped: int
    findings: dict[str, str]
    said: str
    versions: dict[str, str] = {}


def main(words: Sequence[str]) -> int:
    """Check them one after the other and write the table."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.programs")
    parser.add_argument("places", type=Path)
    parser.add_argument("--only", default="", help="run the programs whose name holds this")
    parser.add_argument("--shown", type=Path, help="a folder for what each check printed")
    asked = parser.parse_args(words)
    programs = msgspec.convert(yaml.safe_load(PROGRAMS.read_text(encoding="utf-8")), tuple[Program, ...])
    before = msgspec.json.decode(KEPT.read_bytes(), type=tuple[Seen, ...]) if KEPT.exists() else ()
    seen = {one.name: one for one in before}
    for program in programs:
        if asked.only.lower() not in program.name.lower():
            continue
        with tempfile.TemporaryDirectory(prefix="program-") as folder:
            seen[program.name] = run(program, asked.places.resolve(), Path(folder).resolve(), asked.shown)
        print(seen[program.name])
    ordered = tuple(seen[program.name] for program in programs if program.name in seen)
    atomic.write_bytes(KEPT, msgspec.json.format(msgspec.json.encode(ordered)) + b"\n")
    atomic.write_text(PAGE, write_page(programs, seen))
    return 0


def run(program: Program, places: Path, folder: Path, shown: Path | None) -> Seen:
    """Prepare a copy of the program and check it there; what was printed is kept below `shown`."""
    copy = folder / (program.place or "work")
    if program.place:
        shutil.copytree(places / program.place, copy, ignore=shutil.ignore_patterns(".git"))
    work = copy / program.folder
    work.mkdir(parents=True, exist_ok=True)
    for edit in program.edits:
        path = copy / edit.file
        text = path.read_text(encoding="utf-8")
        if edit.old not in text:
            raise ValueError(f"{program.name}: {edit.file} does not have {edit.old!r}; correct {PROGRAMS}")
        path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
    for name, recipe in program.models.items():
        shutil.copytree(place_model(recipe), work / name)
    for name, form in program.rows.items():
        write_rows(work / name, form)
    for name, text in program.files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text, encoding="utf-8")
    report = folder / "report.json"
    words = [sys.executable if word == "python" else word for word in program.command]
    environment = {**os.environ, "HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "preflight_ocr", "check", "--trust", "--json", str(report), "--", *words],
        cwd=work,
        env=environment | program.environment,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    seconds = round(time.monotonic() - started, 1)
    said = [line for line in ended.stderr.splitlines() if line.strip()]
    if not report.exists():
        raise ValueError(f"{program.name}: no report was written: {' '.join(said[-3:])}")
    if shown is not None:
        shown.mkdir(parents=True, exist_ok=True)
        (shown / f"{program.name}.txt").write_text(f"{ended.stdout}\n{ended.stderr}", encoding="utf-8")
    return read_report(program.name, json.loads(report.read_text(encoding="utf-8")), said, seconds, str(folder))


def read_report(name: str, report: dict[str, Any], said: Sequence[str], seconds: float, hidden: str) -> Seen:
    """The figures of one report, without the paths of this machine."""
    counts = Counter(outcome["outcome"] for outcome in report["outcomes"])
    findings = {one["code"]: clean_line(one["summary"]).replace(hidden, "") for one in report["findings"]}
    told = next((line for line in said if line.startswith(("Held at", "Not held"))), "")
    return Seen(
        name=name,
        held=round(report["timings"]["your command"], 1) if told.startswith("Held at") else None,
        seconds=seconds,
        verdict=str(report["verdict"]),
        kept=counts["kept"],
        broken=counts["broken"],
        skipped=counts["skipped"],
        findings=findings,
        said=_hide(told, hidden),
        versions=read_versions(),
    )


def read_versions() -> dict[str, str]:
    """The installed releases that decide whether a program runs; those that are not installed are left out."""
    found: dict[str, str] = {}
    for name in RELEASES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _hide(text: str, folder: str) -> str:
    """The sentence without what the command printed and without the paths of this machine."""
    said, _, rest = text.partition("; it printed last:")
    after = rest[rest.rfind(" after ") :] if rest else ""
    return re.sub(r"[^\s(`'\"]*/site-packages/", "", clean_line(said + after).replace(folder, ""))


def write_page(programs: Sequence[Program], seen: dict[str, Seen]) -> str:
    """The table, then each finding with what a person found, then what was changed in a program."""
    held = [one for one in seen.values() if one.held is not None]
    judged = [
        p.findings[code].verdict
        for p in programs
        if p.name in seen
        for code in seen[p.name].findings
        if code in p.findings
    ]
    lines = [
        "# Public training programs, as they are",
        "",
        f"`python -m docs.measure.programs PLACES` ran `preflight check --trust -- COMMAND` on {len(seen)} public programs; "
        f"{len(held)} were held where their training would begin. Of {sum(len(one.findings) for one in seen.values())} "
        f"findings {judged.count('true')} are true, {judged.count('arguable')} arguable and {judged.count('false')} false.",
        "Hub ids are folders of the same name: miniatures with random weights, and a few rendered pages.",
        *_tell_releases(programs, seen),
        "",
        "| program | held after | whole check | verdict | kept / broken / skipped | findings |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_write_line(program, seen[program.name]) for program in programs if program.name in seen),
        "",
        "## Findings",
        "",
        *(
            line
            for program in programs
            if program.name in seen
            for line in _write_findings(program, seen[program.name])
        ),
        "",
        "## What was changed in the copies",
        "",
        *(_write_edit(program, edit) for program in programs if program.name in seen for edit in program.edits),
        "",
    ]
    return "\n".join(lines)


def _tell_releases(programs: Sequence[Program], seen: dict[str, Seen]) -> Iterator[str]:
    """Which releases they ran beside, those that most ran beside first."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for program in programs:
        if program.name in seen and seen[program.name].versions:
            groups.setdefault(tuple(seen[program.name].versions.items()), []).append(program.name)
    for number, (versions, names) in enumerate(sorted(groups.items(), key=lambda group: -len(group[1]))):
        said = ", ".join(f"{name} {version}" for name, version in versions)
        yield f"{f'{len(names)} of them' if not number else ', '.join(names)} beside {said}."


def _write_line(program: Program, one: Seen) -> str:
    if one.held is None:
        return (
            f"| {program.name}: {program.source} | {_quote(one.said[:240])} | {one.seconds:.0f} s | {one.verdict} | | |"
        )
    codes = ", ".join(_tell(program, code) for code in one.findings) or "none"
    counts = f"{one.kept} / {one.broken} / {one.skipped}"
    cells = (
        f"{program.name}: {program.source}",
        f"{one.held:.0f} s",
        f"{one.seconds:.0f} s",
        one.verdict,
        counts,
        codes,
    )
    return f"| {' | '.join(cells)} |"


def _tell(program: Program, code: str) -> str:
    judged = program.findings.get(code)
    return f"{code} ({'not judged yet' if judged is None else judged.verdict})"


def _write_findings(program: Program, one: Seen) -> Iterator[str]:
    for code, summary in one.findings.items():
        judged = program.findings.get(code)
        why = "not judged yet" if judged is None else f"{judged.verdict}: {judged.why}"
        yield f"- {program.name}, {code}: {_quote(summary[:300])} - **{why}**"


def _write_edit(program: Program, edit: Edit) -> str:
    return f"- {program.name}: `{_flatten(edit.old)}` became `{_flatten(edit.new)}`: {edit.why}"


def _flatten(text: str) -> str:
    return " ".join(text.split())[:100]


def _quote(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
