"""Add the releases that came out since the index was made: `preflight index update`.

Only what is newer than the index is downloaded. The index lies beside this package, so that a clone shows the change.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from preflight_ocr.harness.commands.window.build import Wheels, extend, fetch, list_releases, write
from preflight_ocr.harness.commands.window.releases import INDEX, PACKAGES, open_index, read_index, sort_key
from preflight_ocr.harness.config.errors import UserError


class UpdateError(UserError):
    """The package index cannot be asked, or the result cannot be written."""


class Updated(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one library. `added` are releases; `dropped` those of which a newer patch was added."""

    package: str
    added: tuple[str, ...]
    dropped: tuple[str, ...]
    newest: str
    count: int


def update(
    packages: Sequence[str] = PACKAGES,
    *,
    folder: Path = INDEX,
    progress: Callable[[str], object] = lambda message: None,
) -> tuple[Updated, ...]:
    """Bring the index in `folder` up to date, one library after the other. Raises UpdateError."""
    return tuple(_update(package, folder / f"{package}.msgpack.xz", progress) for package in packages)


def _update(package: str, path: Path, progress: Callable[[str], object]) -> Updated:
    known, wheels, added = read_index(path), Wheels(package), {}
    try:
        newer = [v for v in list_releases(package) if sort_key(v) > sort_key(known.versions[-1])]
        with tempfile.TemporaryDirectory(prefix="preflight-wheels-") as place:
            for version in newer:
                progress(f"reading {package} {version}")
                added[version] = wheels.read(fetch(package, version, Path(place)))
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise UpdateError(f"{package}: the package index cannot be asked: {said.strip().splitlines()[-1]}") from None
    indexed = extend(known, added) if added else known
    if added:
        try:
            write(indexed, path)
        except OSError as error:
            raise UpdateError(f"{path}: cannot be written: {error.strerror or error}") from None
        open_index.cache_clear()
    return Updated(
        package=package,
        added=tuple(added),
        dropped=tuple(version for version in known.versions if version not in indexed.versions),
        newest=indexed.versions[-1],
        count=len(indexed.versions),
    )
