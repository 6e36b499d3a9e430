"""What a corpus run records: each trial, and the run."""

from __future__ import annotations

from typing import Literal

import msgspec

from preflight_ocr.fixtures.corpus import find_patterns


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A root cause that was found."""

    code: str
    name: str
    basis: str


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """How one step of Trainer ended. `message` is the exception, "" where nothing was raised."""

    outcome: Literal["raised", "silent", "died"]
    message: str = ""


class Laws(msgspec.Struct, frozen=True, kw_only=True):
    """What the laws say of one trial, every other diagnosis switched off (`laws.py`).

    `broken` is law -> names of its diagnoses that found something, `unseen` the laws of which nothing could be judged.
    `alone` is whether the project had no other fault; where it had, `broken` holds only what this fault has to be named by.
    """

    alone: bool
    broken: dict[str, tuple[str, ...]] = {}
    unseen: tuple[str, ...] = ()


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """Faults planted in one model: no fault for a healthy project, several for a group.

    `found` are the root causes that had to be named and were, `missed` those that were not; `extra` are any others, each a
    false alarm. `upstream` are findings that the installed releases deserve by themselves. `beside` are the faults of other
    trials that were planted in the same project. `seconds` is the check alone, its share where there were others beside.
    `reused` are the children of the check that were not run, since the healthy project's had seen the same. `dry_run` is of
    these faults alone. `laws` is what the laws say by themselves; None where nobody asked them, as in a group, or in a check
    that only reads. With an `obstacle` nothing was run.
    """

    faults: tuple[str, ...]
    model: str
    found: tuple[Named, ...] = ()
    missed: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    seconds: float = 0.0
    reused: tuple[str, ...] = ()
    dry_run: DryRun | None = None
    laws: Laws | None = None
    obstacle: str | None = None

    @property
    def is_exact(self) -> bool:
        """Whether what was planted was named and nothing else."""
        return not self.missed and not self.extra


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was tried, and with what. `seconds` is the wall clock, `jobs` the worker processes.

    `left_out` are (fault, model, reason) of the pairs that cannot exist, which depends on the installed releases too.
    """

    versions: dict[str, str]
    jobs: int
    seconds: float
    trials: tuple[Trial, ...]
    left_out: tuple[tuple[str, str, str], ...] = ()

    @property
    def planted(self) -> tuple[Trial, ...]:
        """Those of one fault, whatever was planted beside it, that were not prevented."""
        return tuple(
            t for t in self.trials if len(t.faults) == 1 and t.obstacle is None and not is_pattern(t.faults[0])
        )

    @property
    def patterns(self) -> tuple[Trial, ...]:
        """What other people's code does, by itself in a project, that was not prevented."""
        return tuple(t for t in self.trials if len(t.faults) == 1 and t.obstacle is None and is_pattern(t.faults[0]))

    @property
    def healthy(self) -> tuple[Trial, ...]:
        """Nothing planted, and not prevented."""
        return tuple(t for t in self.trials if not t.faults and t.obstacle is None)

    @property
    def groups(self) -> tuple[Trial, ...]:
        """Several faults at once."""
        return tuple(t for t in self.trials if len(t.faults) > 1)


def is_pattern(fault: str) -> bool:
    """Whether this id is a pattern of other people's code, and not a planted fault."""
    return any(pattern.id == fault for pattern in find_patterns())
