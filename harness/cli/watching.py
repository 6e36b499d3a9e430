"""`--watch`: check, wait until one of the files is saved, and check again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from preflight_ocr.harness.config.schema import Config
    from preflight_ocr.harness.verdict.report import Report

PAUSE = 0.5
"""Seconds between two looks at the files."""

MOST = 2000
"""Files that are looked at each time: the YAML file, the user's Python and the rows come first."""


def watch(check_once: Callable[[], tuple[Config, Report]], source: Path) -> NoReturn:
    """Check for ever; what cannot be checked (a YAML file half written) is told and waited for as well."""
    while True:
        before: Mapping[Path, int] = stamp([source])
        try:
            config, report = check_once()
        except click.ClickException as error:
            error.show()
            paths = [source]
        else:
            paths = list(list_watched(config, report))
            before = {**stamp(paths), **before}  # the YAML file may have been saved meanwhile
        click.echo(f"Watching {len(paths)} file{'s' * (len(paths) != 1)}; Ctrl-C ends it.", err=True)
        changed = wait(paths, before)
        click.echo(f"\nSaved: {changed}", err=True)


def list_watched(config: Config, report: Report) -> Iterator[Path]:
    """The YAML file, the user's Python files, the files of the rows, and what the check opened besides."""
    found: dict[Path, None] = {config.source: None}
    found |= dict.fromkeys(sorted(config.subject.path.glob("*.py")))
    for split in (config.data.train_path, config.data.val_path, config.data.test_path):
        if split is not None:
            found |= dict.fromkeys([split] if split.is_file() else sorted(split.glob("metadata.*")))
    if config.model.directory is not None:
        found |= dict.fromkeys(sorted(p for p in config.model.directory.iterdir() if p.suffix in (".py", ".json")))
    if report.bound is not None:
        found |= dict.fromkeys(map(Path, report.bound.files))
    yield from list(found)[:MOST]


def stamp(paths: Iterable[Path]) -> dict[Path, int]:
    """When each was last changed; 0 where it is not there."""
    times = {}
    for path in paths:
        try:
            times[path] = path.stat().st_mtime_ns
        except OSError:
            times[path] = 0
    return times


def wait(paths: Iterable[Path], before: Mapping[Path, int]) -> Path:
    """The first file that is no longer as it was; waits until there is one, and until an editor has finished with it."""
    paths = tuple(paths)
    while True:
        now = stamp(paths)
        for path in paths:
            if now[path] != before.get(path) and now[path]:
                time.sleep(PAUSE / 5)
                return path
        time.sleep(PAUSE)
