"""Rows are divided into splits: what belongs together stays together, and each split has its share of each kind of row."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence

from preflight_ocr.harness.commands.prepare.asked import SPLITS


class Joined:
    """Rows that belong together: a union-find over their numbers."""

    def __init__(self, rows: int) -> None:
        self._above = array("q", range(rows))

    def find(self, row: int) -> int:
        """The number that stands for all that a row is joined with."""
        above = self._above
        while above[row] != row:
            above[row] = above[above[row]]
            row = above[row]
        return row

    def join(self, first: int, second: int) -> bool:
        """Join two rows; False where they are joined already. The smaller number stands for both."""
        first, second = sorted((self.find(first), self.find(second)))
        self._above[second] = first
        return first != second


def divide(
    together: Sequence[int], kinds: Sequence[int], names: Sequence[str], *, shares: Sequence[float], seed: int
) -> bytearray:
    """The split of each row, 0 for train, 1 for val, 2 for test.

    together: the number that stands for each row's companions. kinds: each row's kind, a number into `names`. Companions
    are of the kind of the first of them. Within a kind, the largest sets come first, then they are drawn by `seed`, and each
    goes where most is missing; what a kind gives too much of, the next gives less of.
    """
    total = sum(shares)
    sets: dict[int, dict[int, int]] = {}  # kind -> set -> rows
    for one in together:
        of_kind = sets.setdefault(kinds[one], {})
        of_kind[one] = of_kind.get(one, 0) + 1
    chosen: dict[int, int] = {}
    missing = [0.0] * len(shares)
    # Kinds with the largest sets first, while others can still make up for them.
    for kind in sorted(sets, key=lambda kind: (-max(sets[kind].values()), names[kind])):
        of_kind = sets[kind]
        rows = sum(of_kind.values())
        missing = [left + rows * share / total for left, share in zip(missing, shares, strict=True)]
        for one in sorted(of_kind, key=lambda one: (-of_kind[one], _draw(seed, one))):
            split = max(range(len(shares)), key=lambda split: (shares[split] > 0, missing[split], -split))
            chosen[one] = split
            missing[split] -= of_kind[one]
    sizes = {one: rows for of_kind in sets.values() for one, rows in of_kind.items()}
    _fill_empty(chosen, sizes, shares, seed)
    return bytearray(chosen[one] for one in together)


def _fill_empty(chosen: dict[int, int], sizes: dict[int, int], shares: Sequence[float], seed: int) -> None:
    """Give a split that got nothing the smallest set of the one with most sets, where that has another one."""
    for split, share in enumerate(shares):
        if share > 0 and split not in chosen.values():
            counts = [list(chosen.values()).count(other) for other in range(len(SPLITS))]
            donor = counts.index(max(counts))
            if counts[donor] > 1:
                candidates = [one for one, at in chosen.items() if at == donor]
                chosen[min(candidates, key=lambda one: (sizes[one], _draw(seed, one)))] = split


def _draw(seed: int, one: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{one}".encode("ascii"), digest_size=8).digest()
