"""Which releases are tried together: every pairing of those that people train with."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence

import msgspec

from preflight_ocr.harness.commands.window.releases import sort_key
from preflight_ocr.harness.config.errors import UserError

TRANSFORMERS: Mapping[str, str] = {
    "4.46.3": "1.2.1",
    "4.49.0": "1.5.2",
    "4.51.3": "1.8.1",
    "4.57.6": "1.12.0",
    "5.0.0": "1.12.0",
    "5.23.0": "1.15.0",
}
"""Release of transformers -> the accelerate of its months: its Trainer calls what later ones renamed."""

PEFT = ("0.13.2", "0.15.2", "0.18.1", "0.21.2")
VARIED = ("transformers", "peft", "accelerate", "tokenizers", "huggingface-hub")
"""What differs between cells, by these pins or by what they ask for; all else is shared."""

_NAME = re.compile(r"tf(?P<transformers>\d[\w.]*)-peft(?P<peft>\d[\w.]*)")


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One environment: releases as "5.23.0"."""

    transformers: str
    peft: str
    accelerate: str

    @property
    def name(self) -> str:
        """As tox names its environment: "tf5.23.0-peft0.21.2"."""
        return f"tf{self.transformers}-peft{self.peft}"

    @property
    def requirements(self) -> tuple[str, ...]:
        """What pip is asked for."""
        return tuple(f"{package}=={getattr(self, package)}" for package in ("transformers", "peft", "accelerate"))


def make_cell(name: str) -> Cell:
    """The cell of this name, whether it is listed or not. Raises UserError for a name that says no releases."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise UserError(f"seen {name!r}, expected a cell as tf5.23.0-peft0.21.2, or a pattern as 'tf5.*'")
    release = found["transformers"]
    older = [version for version in TRANSFORMERS if sort_key(version) <= sort_key(release)]
    accelerate = TRANSFORMERS[older[-1] if older else next(iter(TRANSFORMERS))]
    return Cell(transformers=release, peft=found["peft"], accelerate=accelerate)


def list_cells() -> tuple[Cell, ...]:
    """All of them, the oldest first."""
    return tuple(make_cell(f"tf{release}-peft{peft}") for release in TRANSFORMERS for peft in PEFT)


def choose_cells(wanted: Sequence[str]) -> tuple[Cell, ...]:
    """Those that names or patterns ask for, in the order of the list; all for no name at all.

    A name that is not in the list makes a cell of its own. Raises UserError for a pattern that fits nothing.
    """
    listed = list_cells()
    if not wanted:
        return listed
    chosen: dict[str, Cell] = {}
    for word in wanted:
        found = [cell for cell in listed if fnmatch.fnmatchcase(cell.name, word)]
        if not found and any(sign in word for sign in "*?["):
            raise UserError(f"no cell is like {word!r}; there are {', '.join(cell.name for cell in listed)}")
        chosen |= {cell.name: cell for cell in found or [make_cell(word)]}
    return tuple(sorted(chosen.values(), key=lambda cell: (sort_key(cell.transformers), sort_key(cell.peft))))
