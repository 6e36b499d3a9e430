"""What happens inside a cell's environment: each model is checked with the releases that are installed there.

`python -m preflight_ocr.harness.commands.matrix.cell --cell tf5.23.0-peft0.21.2 --json F [CONFIG ...] [-- COMMAND...]`

Without a CONFIG and a COMMAND, the miniatures are checked.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from preflight_ocr.harness.commands.matrix.cells import Cell, make_cell
from preflight_ocr.harness.commands.matrix.prediction import compare, predict, predict_names
from preflight_ocr.harness.commands.matrix.records import Breach, CellRecord, ModelRecord
from preflight_ocr.harness.commands.matrix.subject import digest_subject
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Site
from preflight_ocr.harness.holding.command import replace_interpreter
from preflight_ocr.harness.judging.findings import Broken, Kept, Skipped

if TYPE_CHECKING:
    from preflight_ocr.harness.isolation import Sandbox
    from preflight_ocr.harness.verdict.report import Report

PACKAGES = ("torch", "transformers", "peft", "accelerate", "tokenizers", "huggingface-hub", "numpy", "pillow")
Progress = Callable[[ModelRecord], None]


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A model to check. `expected`: what the releases do wrong by themselves."""

    model: str
    shown: str
    config: Config
    expected: tuple[str, ...] = ()


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A training command to hold and check."""

    shown: str
    words: tuple[str, ...]


class Absence(msgspec.Struct, frozen=True, kw_only=True):
    """A model that cannot be had here. `names` are the classes it needs of transformers, which `site` lists."""

    model: str
    shown: str
    reason: str
    names: tuple[str, ...]
    site: Site


def run_cell(
    cell: Cell,
    configs: Sequence[Path] = (),
    words: Sequence[str] = (),
    *,
    trust: bool = False,
    progress: Progress = lambda record: None,
) -> CellRecord:
    """Check every model here and now, or the command; `progress` is told of each.

    Raises UserError where a configuration is wrong.
    """
    started = time.perf_counter()
    subject = digest_subject(configs, words)
    environment = {package: version for package in PACKAGES if (version := _find_version(package))}
    if reason := _find_mismatch(cell, environment) or _try_imports():
        return _stop(cell, reason, environment, subject)
    models = []
    with ExitStack() as stack:
        from preflight_ocr.harness.check.sandboxes import open_sandbox

        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="preflight-cell-")))
        sandbox = stack.enter_context(open_sandbox())
        projects = [_name_program(words)] if words else _list_projects(configs, folder)
        for project in projects:
            if isinstance(project, Absence):
                record = _note_absence(project, cell)
            elif isinstance(project, Program):
                record = _hold(project)
            else:
                record = _hide(_look(project, cell, sandbox, trust=trust or not configs), folder)
            models.append(record)
            progress(record)
    return CellRecord(
        cell=cell.name,
        transformers=cell.transformers,
        peft=cell.peft,
        built=True,
        subject=subject,
        environment=environment,
        seconds={"run": round(time.perf_counter() - started, 1)},
        models=tuple(models),
    )


def fail_cell(
    cell: Cell, reason: str, *, configs: Sequence[Path] = (), words: Sequence[str] = (), seconds: float = 0.0
) -> CellRecord:
    """A cell whose environment could not be made."""
    return _stop(cell, reason, {}, digest_subject(configs, words), seconds={"install": round(seconds, 1)})


def _stop(
    cell: Cell, reason: str, environment: dict[str, str], subject: str, seconds: dict[str, float] | None = None
) -> CellRecord:
    return CellRecord(
        cell=cell.name,
        transformers=cell.transformers,
        peft=cell.peft,
        built=False,
        reason=reason,
        subject=subject,
        environment=environment,
        seconds=seconds or {},
    )


def _find_version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _find_mismatch(cell: Cell, environment: dict[str, str]) -> str:
    """Why this environment is not the cell's; a result under a wrong name would be worse than none."""
    for package, wanted in (("transformers", cell.transformers), ("peft", cell.peft)):
        if (found := environment.get(package, "none")) != wanted:
            return f"seen {package} {found}, expected {wanted}"
    return ""


def _try_imports() -> str:
    """Why one of the libraries cannot even be imported beside the others; in a child, whose sandbox is forked later."""
    for module in ("transformers", "accelerate", "peft"):
        program = f"import {module}"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=False)
        if done.returncode:
            last = done.stderr.strip().rpartition("\n")[2] or f"ended with {done.returncode}"
            return f"installed, but `import {module}` fails: {last}"
    return ""


def _list_projects(configs: Sequence[Path], folder: Path) -> Iterator[Project | Absence]:
    for path in configs:
        config = load_config(path)
        name = Path(config.model.base_model).name or str(path)
        yield Project(model=name, shown=name, config=config)
    if configs:
        return
    from preflight_ocr.fixtures.corpus.models import find_miniatures, find_model_obstacle
    from preflight_ocr.fixtures.corpus.plant import write_project
    from preflight_ocr.fixtures.corpus.upstream import find_upstream_faults
    from preflight_ocr.fixtures.native import load_recipe

    for miniature in find_miniatures():
        name, shown = miniature.name, miniature.shown
        if (obstacle := find_model_obstacle(name)) is not None:
            needs = load_recipe(name).needs if miniature.is_native else miniature.needs
            where = Site(file=f"fixtures/native/{name}.py", line=1, code="", kind="", runs=None)
            yield Absence(model=name, shown=shown, reason=obstacle, names=needs, site=where)
            continue
        config = load_config(write_project(folder / name, (), model=name))
        yield Project(model=name, shown=shown, config=config, expected=find_upstream_faults(name))


def _note_absence(absence: Absence, cell: Cell) -> ModelRecord:
    import transformers

    record = ModelRecord(
        model=absence.model,
        shown=absence.shown,
        ending="absent",
        reason=absence.reason,
        # Listed is enough: what is there, and cannot be imported for want of another package, raises when it is asked for.
        is_without_class=not set(absence.names) <= set(dir(transformers)),
        prediction=predict_names(absence.names, absence.site, cell),
    )
    return compare(record)


def _name_program(words: Sequence[str]) -> Program:
    """The command in this environment: where it names an interpreter, it is the cell's."""
    programs = (Path(word).name for word in words if word.endswith((".py", ".ipynb")))
    return Program(shown=next(programs, " ".join(words[:2])), words=replace_interpreter(words, sys.executable))


def _hold(program: Program) -> ModelRecord:
    """The verdict on what the command would train. Reading predicts nothing of it: it has no file of ours to be read."""
    from preflight_ocr.harness.check.command import check_command

    started = time.perf_counter()
    try:
        watched = check_command(program.words)
    except UserError as error:
        return ModelRecord(model=program.shown, shown=program.shown, ending="unjudged", reason=str(error))
    record = _summarise(program.shown, program.shown, watched.report, seconds=round(time.perf_counter() - started, 1))
    if watched.taken.at:
        return record
    return msgspec.structs.replace(record, ending="unjudged", reason=watched.remarks[0])


def _look(project: Project, cell: Cell, sandbox: Sandbox, *, trust: bool) -> ModelRecord:
    from preflight_ocr.harness.check.check import check
    from preflight_ocr.harness.isolation import SandboxUnavailable

    started = time.perf_counter()
    config = project.config
    try:
        report = check(config, trust=trust or config.model.trust_remote_code, sandbox=sandbox)
    except SandboxUnavailable as error:
        return ModelRecord(model=project.model, shown=project.shown, ending="failed", reason=str(error))
    record = _summarise(project.model, project.shown, report, seconds=round(time.perf_counter() - started, 1))
    return compare(msgspec.structs.replace(record, prediction=predict(config, cell)), expected=project.expected)


def _hide(record: ModelRecord, folder: Path) -> ModelRecord:
    """The record without the temporary folder of this run, so that two runs say the same."""
    breaches = tuple(
        msgspec.structs.replace(breach, summary=breach.summary.replace(f"{folder}{os.sep}", ""))
        for breach in record.breaches
    )
    return msgspec.structs.replace(
        record, breaches=breaches, explanation=record.explanation.replace(f"{folder}{os.sep}", "")
    )


def _summarise(model: str, shown: str, report: Report, *, seconds: float) -> ModelRecord:
    return ModelRecord(
        model=model,
        shown=shown,
        ending=report.verdict if report.verdict in ("clear", "refused") else "unjudged",
        reason=report.blind,
        breaches=tuple(
            Breach(code=f.code, name=f.name, severity=f.severity.value, summary=f.summary) for f in report.findings
        ),
        kept=report.count(Kept),
        broken=report.count(Broken),
        skipped=report.count(Skipped),
        seconds=seconds,
    )


def describe(record: ModelRecord) -> str:
    """One line for whoever waits."""
    breach = record.breaches[0] if record.breaches else None
    said = f"{breach.code} {breach.name}" if breach else record.reason
    return f"{record.shown}: {record.ending}{f', {said}' if said else ''} ({record.seconds:.1f} s)"


def split_tail(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our own arguments, and the user's command behind the first `--`."""
    given = list(arguments)
    at = given.index("--") if "--" in given else len(given)
    return given[:at], given[at + 1 :]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the cell's record. Ends with 0 where there is one, whatever it says, and with 2 for a wrong configuration."""
    parser = argparse.ArgumentParser(prog="python -m preflight_ocr.harness.commands.matrix.cell", description=__doc__)
    parser.add_argument("configs", nargs="*", type=Path, metavar="CONFIG")
    parser.add_argument("--cell", required=True)
    parser.add_argument("--json", required=True, type=Path)
    parser.add_argument("--installed", type=Path, help="what the installation noted")
    parser.add_argument("--trust", action="store_true")
    ours, words = split_tail(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(ours)
    noted = json.loads(options.installed.read_text(encoding="utf-8")) if options.installed else {}
    try:
        cell = make_cell(options.cell)
        if reason := noted.get("reason"):
            record = fail_cell(cell, reason, configs=options.configs, words=words, seconds=noted["seconds"])
        else:
            record = run_cell(
                cell,
                options.configs,
                words,
                trust=options.trust,
                progress=lambda found: print(describe(found), flush=True),
            )
            if noted:
                record = msgspec.structs.replace(
                    record, seconds={"install": round(noted["seconds"], 1), **record.seconds}
                )
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    record.write(options.json)
    print(f"{cell.name}: {'built' if record.built else f'red, {record.reason}'}; written to {options.json}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
