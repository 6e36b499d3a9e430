"""The cells one after another, each in an environment that is laid over the one Preflight runs in.

What a cell found is on disk before the next one starts, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from preflight_ocr.harness.commands.matrix.cell import fail_cell
from preflight_ocr.harness.commands.matrix.cells import Cell
from preflight_ocr.harness.commands.matrix.overlay import install, make_environment
from preflight_ocr.harness.commands.matrix.records import CellRecord, Matrix, merge, read_cell
from preflight_ocr.harness.commands.matrix.subject import MINIATURES, digest_subject
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.home import HOME

Progress = Callable[[str], None]
PROGRAM = ("-P", "-m", "preflight_ocr.harness.commands.matrix.cell")


def run_matrix(
    cells: Sequence[Cell],
    configs: Sequence[Path],
    folder: Path,
    *,
    words: Sequence[str] = (),
    trust: bool = False,
    again: bool = False,
    keep: bool = False,
    progress: Progress = lambda line: None,
) -> Matrix:
    """Every cell's record, read from `folder` where it is there already and nothing that it is of has changed.

    With `words` the cells are of that command, and not of files. `again` runs those as well; `keep` leaves the
    environments in `folder`. `progress` gets a line for each thing done.
    Raises UserError where a configuration is wrong, OSError where `folder` cannot be written.
    """
    subject = digest_subject(configs, words)
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for number, cell in enumerate(cells, 1):
        path = folder / f"{cell.name}.json"
        head = f"[{number}/{len(cells)}] {cell.name}"
        if not again and (known := _read_known(path, subject)) is not None:
            progress(f"{head}: already there")
            records.append(known)
            continue
        progress(f"{head}: installing {', '.join(cell.requirements)}")
        record = _run_one(cell, configs, words, path, trust=trust, keep=keep, progress=progress)
        record.write(path)
        records.append(record)
        took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in record.seconds.items())
        progress(f"{head}: {'done' if record.built else f'red: {record.reason}'} ({took})")
    return merge(records, config=describe_subject(configs, words))


def merge_folder(folder: Path, configs: Sequence[Path] = (), words: Sequence[str] = ()) -> Matrix:
    """The records that lie in `folder`, whoever ran them. Raises UserError where there is none, or one is broken."""
    paths = sorted(folder.glob("tf*-peft*.json"))
    if not paths:
        raise UserError(f"{folder}: seen no record of a cell, expected tf*-peft*.json; run some cells first")
    return merge([read_cell(path) for path in paths], config=describe_subject(configs, words))


def describe_subject(configs: Sequence[Path], words: Sequence[str] = ()) -> str:
    """What the matrix is of, for its title."""
    if words:
        return shlex.join(words)
    return ", ".join(str(path) for path in configs) or MINIATURES


def _read_known(path: Path, subject: str) -> CellRecord | None:
    """The record of an earlier run, if it is one of the same thing."""
    if not path.is_file():
        return None
    try:
        record = read_cell(path)
    except UserError:
        return None
    return record if record.subject == subject else None


def _run_one(
    cell: Cell,
    configs: Sequence[Path],
    words: Sequence[str],
    path: Path,
    *,
    trust: bool,
    keep: bool,
    progress: Progress,
) -> CellRecord:
    place = path.parent / "environments" / cell.name
    started = time.perf_counter()
    try:
        python = make_environment(place, Path(sysconfig.get_path("purelib")))
        reason = install(cell.requirements, python=python)
        seconds = time.perf_counter() - started
        if reason:
            return fail_cell(cell, reason, configs=configs, words=words, seconds=seconds)
        path.unlink(missing_ok=True)
        log = path.with_suffix(".log")
        code = _look_inside(cell, configs, words, python, path, log, trust=trust, progress=progress)
        if not path.is_file():
            last = next((line for line in reversed(log.read_text("utf-8", "replace").splitlines()) if line), "")
            reason = f"Preflight did not come back from this cell, it ended with {code}: {last} (log: {log})"
            return fail_cell(cell, reason, configs=configs, words=words, seconds=seconds)
        record = read_cell(path)
        return msgspec.structs.replace(record, seconds={"install": round(seconds, 1), **record.seconds})
    finally:
        if not keep:
            shutil.rmtree(place, ignore_errors=True)


def _look_inside(
    cell: Cell,
    configs: Sequence[Path],
    words: Sequence[str],
    python: Path,
    path: Path,
    log: Path,
    *,
    trust: bool,
    progress: Progress,
) -> int:
    """Run PROGRAM there: its lines go to `progress`, the libraries' to `log`. Returns its exit code."""
    started = [*PROGRAM, "--cell", cell.name, "--json", str(path), *(["--trust"] if trust else [])]
    started += [str(config.resolve()) for config in configs]
    started += ["--", *words] if words else []
    with log.open("w", encoding="utf-8") as errors:
        child = subprocess.Popen(
            [str(python), *started],
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            errors="replace",
            env=dict(_list_environment(path.parent / "environments")),
        )
        try:
            assert child.stdout is not None
            for line in child.stdout:
                progress(f"    {line.rstrip()}")
            return child.wait()
        finally:
            # Whoever stops the matrix stops its child as well, and no record of half a cell is left.
            if child.poll() is None:
                child.kill()
                child.wait()
                path.unlink(missing_ok=True)


def _list_environment(folder: Path) -> Iterator[tuple[str, str]]:
    """Ours; and the way to Preflight where it runs from its sources, which no environment lists: a package in `folder`."""
    yield from os.environ.items()
    yield "PYTHONIOENCODING", "utf-8"
    if not HOME.is_relative_to(Path(sysconfig.get_path("purelib")).resolve()):
        package = folder / "sources" / "preflight_ocr"
        package.mkdir(parents=True, exist_ok=True)
        parts = [str(HOME / "harness" / "public"), str(HOME)]
        (package / "__init__.py").write_text(f"__path__ = {parts!r}\n", encoding="utf-8")
        yield "PYTHONPATH", os.pathsep.join(filter(None, (str(package.parent), os.environ.get("PYTHONPATH"))))
