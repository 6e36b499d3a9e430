"""Trials kept as they end, so that a run of an hour that was stopped goes on where it was.

The file has a line for each trial. Above them stands what they depend on: the installed releases and the source of this
package. What another source found is not this run's result, and is not gone on with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from preflight_ocr.harness import atomic
from preflight_ocr.harness.commands.corpus.trials import Trial
from preflight_ocr.harness.home import HOME


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What trials depend on: the installed releases, and a digest of this package's Python files."""

    versions: Mapping[str, str]
    source: str


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A trial, and the wall clock in seconds from the run's beginning to its end, stops left out."""

    after: float
    trial: Trial


class Kept:
    """A run that is under way. `trials` are those that its earlier parts ended, `seconds` what these parts took in all."""

    def __init__(self, path: Path, versions: Mapping[str, str]) -> None:
        """Read what the file holds, or begin it.

        Raises ValueError where the file was begun by another source or beside other releases, or is none of ours, OSError
        where it cannot be read or written.
        """
        self.path, self.seconds = path, 0.0
        self.trials: tuple[Trial, ...] = ()
        ground = Ground(versions=versions, source=digest_source())
        if not path.exists():
            atomic.write_bytes(path, msgspec.json.encode(ground) + b"\n")
            return
        try:
            # After the last newline stands at most what was being written as the run was stopped.
            first, *lines, torn = path.read_bytes().split(b"\n")
            begun = msgspec.json.decode(first, type=Ground)
            ended = [msgspec.json.decode(line, type=Ended) for line in lines]
        except (ValueError, msgspec.DecodeError) as error:
            raise ValueError(f"{path} does not hold the trials of a run of the corpus: {error}") from error
        if begun != ground:
            what = "other releases" if begun.versions != versions else "another source of Preflight"
            raise ValueError(f"{path} holds trials of {what}: name another file, or delete this one to begin again")
        if torn:
            atomic.write_bytes(path, b"\n".join((first, *lines, b"")))
        self.trials = tuple({(one.trial.model, one.trial.faults): one.trial for one in ended}.values())
        self.seconds = ended[-1].after if ended else 0.0

    def add(self, trial: Trial, seconds: float) -> None:
        """Append a trial, which ended `seconds` after this part of the run began."""
        ended = Ended(after=round(self.seconds + seconds, 1), trial=trial)
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(ended) + b"\n")


def digest_source() -> str:
    """A digest of the Python files that a trial may run, by their content."""
    digest = hashlib.sha256()
    for path in sorted(file for part in ("harness", "probes", "fixtures") for file in (HOME / part).rglob("*.py")):
        digest.update(f"{path.relative_to(HOME).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()
