"""What a check depends on, as digests: taken before anything is read, and compared when everything has been judged."""

from __future__ import annotations

import importlib.machinery
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from preflight_ocr.harness.config.hub import find_model_files
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.foreign.files import is_file
from preflight_ocr.harness.foreign.rows import list_pages
from preflight_ocr.harness.foreign.tables import BrokenRows, NoRows, Table, find_table, iterate_rows, needs_pyarrow
from preflight_ocr.harness.home import find_installed_places, is_ours
from preflight_ocr.harness.launched import count_processes
from preflight_ocr.harness.verdict.digests import GONE, digest_files, digest_text
from preflight_ocr.harness.verdict.gate import Waiver

__all__ = ["Binding", "Bound", "bind", "choose_files", "last_change"]

_SKIPPED_FOLDERS = {"__pycache__", ".git", ".cache", ".locks"}
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/", "/lib/", "/lib64/", "/run/", "/var/lib/")
_MOST_FILES = 20_000
_WRITTEN = {"adapter", "logs", "clearance.json", "trainer_state.json"}
"""What a run writes into its folder besides checkpoints."""


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """What a verdict was found for.

    parts: name of a part ("rows") -> sha256 of it, as it was before the check read anything.
    files: absolute path of each further file that the children imported or opened -> "size sha256".
    waivers: those that were given, with their last days.
    changed: what was no longer the same when the check had ended. With any, the verdict is about no state that exists.
    """

    parts: dict[str, str]
    files: dict[str, str]
    waivers: tuple[Waiver, ...]
    changed: tuple[str, ...]


class Binding:
    """Holds what was there before a check, and settles at its end whether it still is."""

    def __init__(self, config: Config, waivers: Iterable[Waiver] = ()) -> None:
        self._config, self._waivers = config, tuple(waivers)
        self._began = time.time_ns()
        self._parts = bind(config, waivers=self._waivers)

    def settle(self, touched: Iterable[str]) -> Bound:
        """`touched` are the files that the children say they imported or opened."""
        now = bind(self._config, waivers=self._waivers)
        changed = [part for part in self._parts if now[part] != self._parts[part]]
        files = {}
        for path, digest in digest_files(choose_files(touched, self._config)).items():
            files[os.fspath(path)] = digest
            if digest == GONE or last_change(path) > self._began:
                changed.append(f"the file {path}")
        return Bound(parts=self._parts, files=files, waivers=self._waivers, changed=tuple(changed))


def bind(config: Config, *, waivers: Iterable[Waiver] = (), timed: bool = True) -> dict[str, str]:
    """Part -> sha256, for everything that the configuration names. Reads files; runs and imports nothing foreign.

    Without `timed`, a picture counts by its name and size alone: a copy on another machine has another time.
    """
    directory = find_model_files(config)
    model = [("base_model", config.model.base_model), ("revision", str(config.model.revision))]
    if directory is not None:
        model.extend(_read_files(_list_model_files(directory, config.training.output_dir), directory))
    size = count_processes()  # the steps of a run, its warm-up and its schedule are shared by them
    accepted = [(w.code, f"{w.reason}\0{w.link}\0{w.until}") for w in sorted(waivers, key=lambda w: (w.code, w.until))]
    return {
        "configuration": digest_text(_read_files([config.source], config.source.parent)),
        "trust": digest_text([("trust_remote_code", str(config.model.trust_remote_code))]),
        "model files": digest_text(model),
        "rows": digest_text(_read_rows(config, timed=timed)),
        "subject": digest_text(_read_files(_list_subject_files(config), config.subject.path)),
        "waivers": digest_text(accepted),
        "versions": digest_text([("python", platform.python_version()), *((name, "") for name in _list_versions())]),
        **({"number of processes": digest_text([("processes", str(size))])} if size > 1 else {}),
    }


def _read_files(paths: Iterable[Path], root: Path) -> Iterator[tuple[str, str]]:
    """Name relative to `root`, and digest."""
    for path, digest in digest_files(paths).items():
        yield os.path.relpath(path, root), digest


# ---- the model


def _list_model_files(directory: Path, output_dir: Path) -> list[Path]:
    """Every file below the model's folder, code in sub-folders and whole weights too, but not what a run writes there."""
    found: list[Path] = []
    seen = {directory.resolve(), output_dir.resolve()}
    for folder, folders, names in os.walk(directory, followlinks=True):
        here = Path(folder)
        met = {name: (here / name).resolve() for name in sorted(folders) if name not in _SKIPPED_FOLDERS}
        folders[:] = [name for name, place in met.items() if place not in seen]  # a link may lead back to where it is
        seen.update(met.values())
        found.extend(here / name for name in names)
    return sorted(found)


# ---- the rows


def _read_rows(config: Config, *, timed: bool) -> Iterator[tuple[str, str]]:
    """The files of the rows by their content, and each picture that a row names by its size and time of change.

    The pictures that the check opened are bound by their content besides, among the files that it touched.
    """
    splits = {"train": config.data.train_path, "val": config.data.val_path, "test": config.data.test_path}
    for split, path in splits.items():
        if path is None:
            continue
        try:
            table = find_table(path, split)
        except NoRows:
            yield str(path), GONE
            continue
        yield from _read_files(table.files, table.folder.parent)
        for picture in dict.fromkeys(_list_pictures(table)):
            yield picture, _tell_size_and_time(table.folder / picture, timed=timed)


def _list_pictures(table: Table) -> Iterator[str]:
    """The names of pictures in the rows; those in front of a line that is broken, which is a finding of its own.

    None for files that hold their pictures: these are bound by the content of the files.
    """
    if needs_pyarrow(table) and not table.is_image_folder:
        return
    try:
        for row in iterate_rows(table):
            if isinstance(row, dict):
                yield from list_pages(row)
    except (BrokenRows, NoRows):
        return


def _tell_size_and_time(path: Path, *, timed: bool) -> str:
    try:
        seen = path.stat()
    except (OSError, ValueError):
        return GONE
    return f"{seen.st_size} {seen.st_mtime_ns}" if timed else str(seen.st_size)


# ---- the user's own code


def _list_subject_files(config: Config) -> list[Path]:
    """The Python files of each part's top-level package, or of the folder that holds its module."""
    subject = config.subject
    files: set[Path] = set()
    for part in (subject.model, subject.collator, subject.peft, subject.trainer, subject.dataset):
        if part is None:
            continue
        top, dot, _ = part.partition(":")[0].partition(".")
        # Finding a top-level name executes nothing; finding a dotted one would import its parent.
        spec = importlib.machinery.PathFinder.find_spec(top, [str(subject.path), *sys.path])
        if spec is None:
            continue
        # A package without `__init__.py` has no origin, and may lie in several folders.
        for folder in map(Path, spec.submodule_search_locations or ()):
            files.update(folder.rglob("*.py"))
        if spec.origin and not spec.submodule_search_locations:
            files.update(Path(spec.origin).parent.rglob("*.py") if dot else Path(spec.origin).parent.glob("*.py"))
    return sorted(files)


def _list_versions() -> list[str]:
    """NAME-VERSION of each installed distribution, from the names of its folders: reading 90 metadata files takes 0.5 s."""
    found: set[str] = set()
    for place in sys.path:
        try:
            with os.scandir(place or ".") as entries:
                found.update(e.name.lower() for e in entries if e.name.endswith((".dist-info", ".egg-info")))
        except OSError:
            continue
    return sorted(found)


# ---- what the children touched


def choose_files(touched: Iterable[str], config: Config) -> list[Path]:
    """Those that are neither installed, nor ours, nor the system's, nor written by the run itself.

    A name that foreign code made up is harmless here: the file is hashed, and at worst the clearance holds less long.
    """
    output_dir = config.training.output_dir
    chosen = set()
    for name in touched:
        path = Path(name)
        if path.suffix in (".pyc", ".lock") or "\0" in name or not path.is_absolute() or _is_installed(path):
            continue
        if _is_written_by_a_run(path, output_dir) or not is_file(path):
            continue
        chosen.add(path)
    return sorted(chosen)[:_MOST_FILES]


def _is_written_by_a_run(path: Path, output_dir: Path) -> bool:
    """Whether `run-training` writes this. Not all that lies there is: the folder may be that of the project itself."""
    for root in (output_dir, output_dir.resolve()):
        if path.is_relative_to(root) and (parts := path.relative_to(root).parts):
            return parts[0] in _WRITTEN or parts[0].startswith(("checkpoint-", ".adapter-"))
    return False


def _is_installed(path: Path) -> bool:
    return is_ours(path) or os.fspath(path).startswith((*find_installed_places(), *_SYSTEM))


def last_change(path: Path) -> int:
    """When the file last changed, in nanoseconds: by its inode, which a file put in another's place has anew."""
    try:
        seen = path.stat()
    except OSError:
        return time.time_ns()
    return seen.st_mtime_ns if sys.platform == "win32" else max(seen.st_mtime_ns, seen.st_ctime_ns)
