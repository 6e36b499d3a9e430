"""What a part of the campaign counts."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Tally(msgspec.Struct, kw_only=True):
    """`wrong` holds one line for each attack that got through; `kinds` counts how the others ended."""

    part: str
    tried: int = 0
    wrong: list[str] = []
    kinds: dict[str, int] = {}

    @property
    def survived(self) -> int:
        return self.tried - len(self.wrong)

    def note(self, ending: str, wrong: str = "") -> None:
        """One attack: how it ended, and what is wrong about that."""
        self.tried += 1
        self.kinds[ending] = self.kinds.get(ending, 0) + 1
        if wrong:
            self.wrong.append(wrong)


def render(tallies: Iterable[Tally]) -> str:
    """The table, and a line for everything that is wrong."""
    tallies = tuple(tallies)
    lines = [f"{'part':<28}{'tried':>8}{'survived':>10}{'wrong':>8}  how they ended"]
    for tally in tallies:
        ended = ", ".join(f"{kind} {count}" for kind, count in sorted(tally.kinds.items(), key=lambda one: -one[1]))
        lines.append(f"{tally.part:<28}{tally.tried:>8}{tally.survived:>10}{len(tally.wrong):>8}  {ended}")
    lines += [f"WRONG {tally.part}: {line}" for tally in tallies for line in tally.wrong]
    return "\n".join(lines)
