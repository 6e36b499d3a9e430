"""What a judgement says: findings, and the outcome of each contract."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Literal

import msgspec

from preflight_ocr.harness.facts import Site

Level = Literal["read", "ran", "gpu"]
"""How far a check goes: files only, foreign code on the CPU too, an accelerator too."""

EXIT_CODES: Mapping[int, str] = {
    0: "clear, or nothing found in the part that was asked for: no finding, or only MINOR and NOTE",
    1: "Preflight itself failed",
    2: "usage or configuration error",
    3: "blind: something that decides could not be looked at, or crashed",
    11: "the worst finding is MAJOR",
    12: "the worst finding is BLOCKER",
    130: "interrupted by Ctrl-C",
    143: "ended by SIGTERM",
}


class Severity(enum.Enum):
    """How bad it is, by consequence; `rank` orders them, worst first."""

    BLOCKER = "BLOCKER"  # training crashes or produces a wrong model
    MAJOR = "MAJOR"  # trains, silently worse
    MINOR = "MINOR"  # slower, noisier, fragile
    NOTE = "NOTE"  # information

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


class Basis(enum.Enum):
    """How a finding is known."""

    READ = "read"  # files, AST, signatures: no foreign code was executed
    RAN = "ran"  # foreign code executed on the CPU
    GPU = "gpu"  # executed on an accelerator


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, in one sentence, and text to copy (`snippet`, may be empty)."""

    instruction: str
    snippet: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One root cause.

    `summary` says what was seen and what was expected; `evidence` are the facts behind it, one per line. `consequences`
    are the codes of findings that this one explains and that are therefore not reported by themselves. `places` are lines
    of somebody's source behind it, the one to look at first in front; `keys` are dotted keys of the YAML file that decide
    over it, the likeliest first: those that the file does not have are passed over. `owners` are names of diagnoses whose
    finding, where there is one, is the cause of this one: the contract is broken all the same, and the cause is reported.
    """

    code: str
    name: str
    severity: Severity
    basis: Basis
    summary: str
    evidence: tuple[str, ...] = ()
    fix: Fix
    docs: str
    consequences: tuple[str, ...] = ()
    places: tuple[Site, ...] = ()
    keys: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()


class Kept(msgspec.Struct, frozen=True, tag="kept", tag_field="outcome"):
    """The contract was looked at and holds."""


class Broken(msgspec.Struct, frozen=True, tag="broken", tag_field="outcome"):
    """The contract does not hold. `explained_by` holds the root causes' codes where this is only a consequence."""

    findings: tuple[Finding, ...]
    explained_by: tuple[str, ...] = ()


class Skipped(msgspec.Struct, frozen=True, tag="skipped", tag_field="outcome"):
    """The contract could not be looked at. Never a pass."""

    reason: str


class Crashed(msgspec.Struct, frozen=True, tag="crashed", tag_field="outcome"):
    """Our own judging raised. Never a pass."""

    error: str


class NotApplicable(msgspec.Struct, frozen=True, tag="not applicable", tag_field="outcome"):
    """The contract says nothing about this setup: neither kept nor skipped."""

    reason: str


Outcome = Kept | Broken | Skipped | Crashed | NotApplicable
