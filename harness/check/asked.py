"""What one check is asked to do, in one piece: it is handed down from the command line to the children."""

from __future__ import annotations

import msgspec

from preflight_ocr.harness.judging.findings import Basis, Level
from preflight_ocr.harness.verdict.contracts import choose
from preflight_ocr.harness.verdict.gate import Waiver

SECONDS = 600.0
"""For one child; a miniature needs a few, a cut 3 B model a minute or two."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The wishes of whoever starts a check.

    `only` keeps the given codes, names or families. `seconds` is how long one child may take. `illustrated` also has the
    pictures made that a page shows. `network` leaves the network open to foreign code. `keeps` keeps what the children
    saw for the next check, `reuses` takes it over where nothing that they read has changed (`recall`); `writes` are files
    that this very command writes, which are no reason to run them again.
    """

    level: Level = "ran"
    trust: bool = False
    only: tuple[str, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    seconds: float = SECONDS
    illustrated: bool = False
    network: bool = False
    keeps: bool = False
    reuses: bool = False
    writes: tuple[str, ...] = ()

    @property
    def reads_only(self) -> bool:
        """Whether nothing is run: level read, or nothing was chosen that needs more."""
        chosen = choose(self.only) if self.only else ()
        return self.level == "read" or (bool(chosen) and all(d.basis is Basis.READ for d in chosen))

    @property
    def sections(self) -> frozenset[str] | None:
        """The sections of the facts that the chosen diagnoses need; None where all of them are asked for."""
        if not self.only or self.level == "gpu":
            return None
        return frozenset(need.partition(".")[0] for diagnosis in choose(self.only) for need in diagnosis.needs)
