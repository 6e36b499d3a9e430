"""What the children of the last check of this project saw, where everything that they read is as it was then.

A child is spared only where a digest of all of it is the same: the YAML file's sections that it reads, the model's files,
the rows, the user's own source and every other file of the project's folder, the files that the child opened, the
environment variables that it gets, the installed versions, this release of ours, the machine, and what was asked. What it
saw is kept only where it ended well, and where nothing changed while it ran. The file is signed as a clearance is.

What is not seen here: a file outside of the project that a library reads without Python's `open`, the clock, and chance.
Rows that the user's code yields, and a check with the network open, are never taken over.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import os
import platform
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from preflight_ocr.harness import atomic
from preflight_ocr.harness.check.asked import Asked
from preflight_ocr.harness.check.children import CHILDREN, Answers, Child, choose_children
from preflight_ocr.harness.check.sandboxes import limit
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.config.documents import BrokenYaml, read_yaml
from preflight_ocr.harness.config.errors import ConfigError
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.foreign.files import is_file
from preflight_ocr.harness.home import HOME, find_version
from preflight_ocr.harness.isolation.environment import without_secrets
from preflight_ocr.harness.state import find_cache_directory
from preflight_ocr.harness.verdict.binding import bind, choose_files, last_change
from preflight_ocr.harness.verdict.digests import GONE, digest_files, digest_text
from preflight_ocr.harness.verdict.signing import is_signed, sign

__all__ = ["TRAINING", "UNREAD_SECTIONS", "Recall", "open_recall"]

TRAINING = ("lora", "training", "optimization", "early_stopping", "evaluation", "budget")
UNREAD_SECTIONS: Mapping[str, tuple[str, ...]] = {
    "processor": (*TRAINING, "data"),
    "collator": TRAINING,
    "forward": TRAINING,
    "learning": (),
    "memory": (),
}
"""Child -> sections of the YAML file that parts of ours do not read for it (tests/corpus/test_reuse.py proves it)."""

_RUNS_NO_PART = ("processor",)
"""Children that run none of the user's parts; the others may hand them the whole configuration."""

_MOST_FILES = 20_000  # of the project's folder; above, nothing is taken over
_MOST_BYTES = 16 << 20  # of what is kept of one child
_MOST_STATES = 3  # of a project, so that a key that is tried and taken back costs nothing
_MOST_PROJECTS = 50
_MOST_WRITTEN = 50  # paths of reports, the last ones
_FAILED = ("foreign code died", "no answer", "our own failure")
_SKIPPED_FOLDERS = {"__pycache__", ".git", ".hg", "node_modules", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
_VOLATILE = {
    "_", "OLDPWD", "SHLVL", "WINDOWID", "TERM_SESSION_ID", "SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY",
    "PYTEST_CURRENT_TEST",
}  # fmt: skip
"""Variables that say where a shell was opened."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What one child answered: `values` is msgpack of name -> value, its own and that of the child that follows it.

    `key` digests what it reads. `files` are the further files that it opened: path -> "size sha256". `drawn` says that the
    pictures of the page are among the values.
    """

    key: str
    drawn: bool
    checked: datetime.datetime
    values: bytes
    files: dict[str, str]
    openings: tuple[str, ...] = ()


class _State(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a project. `written` are the reports that its checks were told to write."""

    entries: dict[str, list[Entry]] = {}
    written: tuple[str, ...] = ()


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    state: bytes
    signature: str


class Recall(msgspec.Struct, kw_only=True):
    """What need not be run: `values` by child, `checked` when each was run, `touched` the files behind them.

    `written` are reports of ours, of this check and of those before it: a page in the project's folder is no input.
    """

    config: Config
    asked: Asked
    keys: dict[str, str]
    written: tuple[str, ...]
    began: int
    values: dict[str, Any] = {}
    checked: dict[str, datetime.datetime] = {}
    touched: frozenset[str] = frozenset()
    openings: tuple[str, ...] = ()

    def keep(self, answers: Answers, openings: Iterable[str], place: Path) -> None:
        """Keep what ran and ended well for the next check. What was opened below `place` this check has written itself.

        A cache that cannot be written costs time only.
        """
        ran = [child for child in CHILDREN if child.name in answers.values and child.name in self.keys]
        if not self.asked.keeps or not ran or _list_keys(self.config, self.asked, self.written) != self.keys:
            return  # something changed meanwhile: nobody knows which state was seen
        entries = {name: list(kept) for name, kept in _read(self.config).entries.items()}
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        for child in ran:
            others = [entry for entry in entries.pop(child.name, ()) if entry.key != self.keys[child.name]]
            entry = self._make_entry(child, answers, now, tuple(openings), place)
            entries[child.name] = [*([entry] if entry is not None else []), *others][:_MOST_STATES]
        _write(self.config, _State(entries=entries, written=self.written))

    def _make_entry(
        self, child: Child, answers: Answers, now: datetime.datetime, openings: tuple[str, ...], place: Path
    ) -> Entry | None:
        names = [child.name, *([child.then.name] if child.then else [])]
        values = {name: answers.values[name] for name in names if name in answers.values}
        if len(values) != len(names) or any(_ended_badly(value) for value in values.values()):
            return None
        files = {}
        touched = [name for name in answers.touched_by.get(child.name, ()) if not Path(name).is_relative_to(place)]
        for path, digest in digest_files(_choose(touched, self.config)).items():
            if digest == GONE or last_change(path) > self.began:
                return None
            files[os.fspath(path)] = digest
        data = msgspec.msgpack.encode(values)
        if len(data) > _MOST_BYTES:
            return None
        drawn = _is_drawn(child, self.asked)
        return Entry(key=self.keys[child.name], drawn=drawn, checked=now, values=data, files=files, openings=openings)


def open_recall(config: Config, asked: Asked) -> Recall | None:
    """What is known of this very state; None where nothing may be taken over or kept."""
    if not (asked.keeps or asked.reuses) or asked.network:
        return None
    began = time.time_ns()
    state = _read(config)
    writes = (os.fspath(Path(path).resolve()) for path in asked.writes)
    sayable = (path for path in writes if path == path.encode("utf-8", errors="replace").decode("utf-8"))
    written = tuple(dict.fromkeys((*sayable, *state.written)))[:_MOST_WRITTEN]
    if asked.keeps and set(written) != set(state.written):
        _write(config, _State(entries=state.entries, written=written))
    keys = _list_keys(config, asked, written)
    recall = Recall(config=config, asked=asked, keys=keys, written=written, began=began)
    touched: set[str] = set()
    openings: dict[str, None] = {}
    wants_pictures = {child.name for child in CHILDREN if _is_drawn(child, asked)}
    for name, kept in state.entries.items() if asked.reuses else ():
        fits = (e for e in kept if e.key == keys.get(name) and (e.drawn or name not in wants_pictures))
        entry = next(fits, None)
        if entry is None:
            continue
        paths = [Path(path) for path in entry.files]
        if {os.fspath(path): digest for path, digest in digest_files(paths).items()} != entry.files:
            continue
        recall.values |= msgspec.msgpack.decode(entry.values)
        recall.checked[name] = entry.checked
        touched.update(entry.files)
        openings |= dict.fromkeys(entry.openings)
    recall.touched, recall.openings = frozenset(touched), tuple(openings)
    return recall


def _ended_badly(value: Any) -> bool:
    """Whether part of an answer is missing because something failed or died: the next time may go better."""
    if isinstance(value, Unknown):
        return True
    if isinstance(value, Mapping):
        if value.get("fact") == "Unknown" and value.get("cause") in _FAILED:
            return True
        return any(_ended_badly(item) for item in value.values())
    return isinstance(value, list | tuple) and any(_ended_badly(item) for item in value)


# ---- the digest of what a child reads


def _is_drawn(child: Child, asked: Asked) -> bool:
    return bool(child.drawing and asked.illustrated)


def _list_keys(config: Config, asked: Asked, written: Sequence[str]) -> dict[str, str]:
    """Child -> digest of what it reads; empty where that cannot be told."""
    try:
        document, _ = read_yaml(config.source)
        config = load_config(config.source, trust=asked.trust)
    except (OSError, BrokenYaml, ConfigError):
        return {}
    project = _stat_project(config, written)
    if project is None or not isinstance(document, dict):
        return {}
    parts = bind(config)
    common = [
        ("ours", _digest_ours()),
        ("python", f"{sys.version} {sys.executable} {platform.platform()} {platform.node()} {os.cpu_count()}"),
        ("limits", repr(limit(asked.seconds))),
        ("place", f"{config.source} {Path.cwd()}"),
        *sorted(_list_environment(config)),
    ]
    keys = {}
    for child in choose_children(config, asked):
        told = [*common, *((name, parts[name]) for name in ("model files", "trust", "versions"))]
        if child.name not in _RUNS_NO_PART:
            if config.subject.dataset is not None:
                continue  # nobody knows what that code reads to make its rows
            told += [("project", project), ("rows", parts["rows"]), ("subject", parts["subject"])]
        told.append(("sections", _digest_sections(document, child, config)))
        if child.name == "learning":
            told.append(("output", _stat_folder(config.training.output_dir)))
        keys[child.name] = digest_text(told)
    return keys


def _digest_sections(document: Mapping[str, Any], child: Child, config: Config) -> str:
    subject = config.subject
    runs_own_parts_only = not (subject.model or subject.collator or subject.trainer)  # which is built with all of them
    unread: Collection[str] = ()
    if child.name in _RUNS_NO_PART or runs_own_parts_only:
        unread = UNREAD_SECTIONS.get(child.name, ())
    read = {str(key): value for key, value in document.items() if key not in unread}
    if child.name in _RUNS_NO_PART:
        read["subject"] = {}
    elif unread:
        read["subject"] = {k: v for k, v in (read.get("subject") or {}).items() if k not in ("peft", "trainer")}
    return hashlib.sha256(repr(_sort(read)).encode("utf-8", errors="surrogateescape")).hexdigest()


def _sort(value: Any) -> Any:
    """A form in which the order of keys says nothing, and 1, 1.0, True and "1" are told apart."""
    if isinstance(value, Mapping):
        return sorted(((repr(key), _sort(item)) for key, item in value.items()), key=lambda pair: pair[0])
    if isinstance(value, list | tuple | set):
        return [_sort(item) for item in value]
    return (type(value).__name__, repr(value))


def _list_environment(config: Config) -> Iterator[tuple[str, str]]:
    """The variables that the children get. Their values are digested with the rest, and kept nowhere."""
    for name, value in without_secrets(os.environ, named=config.subject.environment).items():
        if name not in _VOLATILE:
            yield f"${name}", value


def _stat_project(config: Config, written: Sequence[str]) -> str | None:
    """Name, size and times of every file below the folder of the user's parts; None where there are too many.

    The YAML file is digested by its sections, the run's own folder apart, and what checks have written is no input. Where a
    child opens one of them, it is digested as every other file that it opens.
    """
    apart = {config.training.output_dir.resolve()}
    reports = {config.source.resolve(), *map(Path, written)}
    found: list[tuple[str, str]] = []
    for root in dict.fromkeys((config.subject.path.resolve(), config.source.parent.resolve())):
        for folder, folders, names in os.walk(root):
            here = Path(folder)
            folders[:] = sorted(
                name
                for name in folders
                if name not in _SKIPPED_FOLDERS
                and (here / name) not in apart
                and not (here / name / "pyvenv.cfg").exists()
            )
            for name in sorted(names):
                if here / name not in reports:
                    found.append((str(here / name), _stat(here / name)))
            if len(found) > _MOST_FILES:
                return None
    return digest_text(found)


def _stat_folder(folder: Path) -> str:
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return ""
    return digest_text((path.name, _stat(path)) for path in paths)


def _stat(path: Path) -> str:
    try:
        seen = path.stat()
    except (OSError, ValueError):
        return GONE
    return f"{seen.st_size} {seen.st_mtime_ns} {seen.st_ino}"


@functools.cache
def _digest_ours() -> str:
    """Our release, and in a clone the state of its source."""
    files = sorted(path for folder in ("harness", "probes", "fixtures") for path in (HOME / folder).rglob("*.py"))
    return digest_text([("version", find_version()), *((str(path), _stat(path)) for path in files)])


def _choose(touched: Iterable[str], config: Config) -> list[Path]:
    return [path for path in choose_files(touched, config) if path != config.source]


# ---- the file


def _find(config: Config) -> Path:
    name = hashlib.sha256(os.fspath(config.source).encode("utf-8", errors="surrogateescape")).hexdigest()[:24]
    return find_cache_directory() / "answers-2" / f"{name}.msgpack"


def _read(config: Config) -> _State:
    """What was kept; nothing where the file is damaged or was not written by this user's Preflight."""
    path = _find(config)
    try:
        if not is_file(path):
            return _State()
        kept = msgspec.msgpack.decode(path.read_bytes(), type=_Kept)
        if not is_signed(kept.state, kept.signature):
            return _State()
        return msgspec.msgpack.decode(kept.state, type=_State)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return _State()


def _write(config: Config, state: _State) -> None:
    path = _find(config)
    data = msgspec.msgpack.encode(state)
    try:
        atomic.write_bytes(path, msgspec.msgpack.encode(_Kept(state=data, signature=sign(data))))
        kept = sorted(path.parent.glob("*.msgpack"), key=lambda file: file.stat().st_mtime)
        for old in kept[:-_MOST_PROJECTS]:
            old.unlink(missing_ok=True)
    except OSError:
        return
