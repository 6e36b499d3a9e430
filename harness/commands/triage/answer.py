"""What `preflight diagnose` answers, as plain data: the JSON that it writes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from preflight_ocr.harness.commands.triage.recogniser import Weighed
from preflight_ocr.harness.diagnoses import find
from preflight_ocr.harness.judging.findings import Basis, Severity

Kind = Literal["exception", "line", "numbers"]
Verdict = Literal["not asked", "confirmed", "contract holds", "could not be run"]


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """One diagnosis pointed at. `code` and `severity` are None for one that the catalogue does not have yet.

    `certain`: the text alone proves it; otherwise it is one of several that may be. `prove` is the command that shows it.
    `verdict` is how the contract ended where a CONFIG was given, `detail` its finding or why it could not be run.
    """

    name: str
    code: str | None
    severity: Severity | None
    certain: bool
    cause: str
    check: str
    prove: str
    verdict: Verdict = "not asked"
    detail: str = ""

    @property
    def title(self) -> str:
        """`FWD001 unaccepted_batch_key`."""
        return f"{self.code} {self.name}" if self.code else self.name


class Recognised(msgspec.Struct, frozen=True, kw_only=True):
    """A message and what it points at, the likeliest first. `line` is its first place, `times` how often it stands there.

    `place` is the last line of the user's own code in its traceback, empty where there is none.
    """

    text: str
    kind: Kind
    line: int
    times: int = 1
    place: str = ""
    pointers: tuple[Pointer, ...]


class Unrecognised(msgspec.Struct, frozen=True, kw_only=True):
    """An exception, or the last line of a text without one, of which no cause is known.

    What its traceback shows all the same: `place` as above, `raised_by` the library function that raised, `argument` the
    one that it speaks of, `contracts` the codes of those that look at that part of a run. Each may be empty.
    """

    text: str
    line: int
    times: int = 1
    reason: str = "no recogniser knows this message"
    place: str = ""
    raised_by: str = ""
    argument: str = ""
    contracts: tuple[str, ...] = ()


class TriageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `losses` counts the log lines with a loss that were judged; `notes` say what was missing to judge more."""

    source: str
    recognised: tuple[Recognised, ...]
    unrecognised: tuple[Unrecognised, ...]
    losses: int
    vocabulary: int | None
    notes: tuple[str, ...] = ()

    @property
    def pointers(self) -> tuple[Pointer, ...]:
        """Every pointer, in the order of the messages."""
        return tuple(pointer for recognised in self.recognised for pointer in recognised.pointers)

    @property
    def is_empty(self) -> bool:
        """Whether there was no text at all."""
        return not (self.recognised or self.unrecognised or self.losses)

    @property
    def exit_code(self) -> int:
        """The same numbers as a check: 12 and 11 by the worst diagnosis still standing, 3 where nothing was recognised."""
        standing = [p for p in self.pointers if p.verdict != "contract holds"]
        if not self.recognised and (self.unrecognised or not self.losses):
            return 3
        if any(p.severity in (Severity.BLOCKER, None) for p in standing):
            return 12
        return 11 if any(p.severity is Severity.MAJOR for p in standing) else 0


def point(weighed: Iterable[Weighed], *, config: str = "CONFIG") -> tuple[Pointer, ...]:
    """The pointers for what is left of a message's causes; `config` stands in the commands to type.

    That is a YAML file, or `-- COMMAND` with the options in front of it.
    """
    return tuple(_point(one, config) for one in weighed)


def _point(weighed: Weighed, config: str) -> Pointer:
    cause, module = weighed.cause, find(weighed.cause.diagnosis)
    diagnosis = module.DIAGNOSIS if module else None
    is_command = config.startswith("-")
    file = "CONFIG" if is_command else config  # what else is asked for is asked of a YAML file
    if cause.prove:
        prove = cause.prove.replace("CONFIG", file)
    elif diagnosis is not None and diagnosis.basis is Basis.GPU:
        prove = f"pytest -m gpu --preflight-config {file}"
    else:
        only = [f"--only {diagnosis.code}"] if diagnosis else []
        prove = " ".join(["preflight check", *([*only, config] if is_command else [config, *only])])
    return Pointer(
        name=cause.diagnosis,
        code=diagnosis.code if diagnosis else None,
        severity=diagnosis.severity if diagnosis else None,
        certain=weighed.certain,
        cause=cause.why,
        check=cause.check,
        prove=prove,
    )
