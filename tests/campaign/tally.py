"""What a part of the campaign counts."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import msgspec


class Tally(msgspec.Struct, kw_only=True):
    """`wrong` holds one line for each attack that got through; `kinds` counts how the others ended. `left_out` names the
    attacks that were not tried, each with the reason."""

    part: str
    tried: int = 0
    wrong: list[str] = []
    kinds: dict[str, int] = {}
    left_out: list[str] = []

    @property
    def survived(self) -> int:
        return self.tried - len(self.wrong)

    def note(self, ending: str, wrong: str = "") -> None:
        """One attack: how it ended, and what is wrong about that, which is said at once: a whole run takes hours."""
        self.tried += 1
        self.kinds[ending] = self.kinds.get(ending, 0) + 1
        if wrong:
            self.wrong.append(wrong)
            print(f"WRONG {self.part}: {wrong}", file=sys.stderr, flush=True)

    def tell_kinds(self) -> str:
        """How the attacks ended, the most frequent ending first."""
        return ", ".join(f"{kind} {count}" for kind, count in sorted(self.kinds.items(), key=lambda one: -one[1]))


def render(tallies: Iterable[Tally]) -> str:
    """The table, and a line for everything that is wrong or was not tried."""
    tallies = tuple(tallies)
    lines = [f"{'part':<28}{'tried':>8}{'survived':>10}{'wrong':>8}  how they ended"]
    for tally in tallies:
        counts = f"{tally.tried:>8}{tally.survived:>10}{len(tally.wrong):>8}"
        lines.append(f"{tally.part:<28}{counts}  {tally.tell_kinds()}")
    lines += [f"WRONG {tally.part}: {line}" for tally in tallies for line in tally.wrong]
    lines += [f"NOT TRIED {tally.part}: {line}" for tally in tallies for line in tally.left_out]
    return "\n".join(lines)
