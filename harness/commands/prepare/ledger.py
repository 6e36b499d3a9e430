"""All that dividing needs to know of the kept rows, in a few hundred bytes each, and the counts for the summary."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable

import msgspec
import numpy

from preflight_ocr.harness.commands.prepare.alike import BITS, iterate_alike
from preflight_ocr.harness.commands.prepare.asked import Division
from preflight_ocr.harness.commands.prepare.divide import Joined, divide
from preflight_ocr.harness.commands.prepare.outcomes import Kept, Outcome, Rejected
from preflight_ocr.harness.training.scores import name_length, name_script


class Divided(msgspec.Struct, frozen=True, kw_only=True):
    """`splits` is the split of each kept row. exact: pictures that are an earlier one's pixels. differing: those of them
    that have another text. near: pictures that are an earlier one's near duplicates, `exact` left out. sets: of rows that
    stay together; largest: rows of the largest."""

    splits: bytearray
    exact: int
    differing: int
    near: int
    groups: int
    sets: int
    largest: int


class Ledger:
    """Outcomes, taken in one after the other."""

    def __init__(self) -> None:
        self.rejected: Counter[str] = Counter()
        self.changes: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.types: dict[str, set[type]] = {}
        self.used: set[str] = set()
        self.rows = 0
        self.asks = False
        self.unread = 0
        self.unused: list[str] = []
        self._hashes = bytearray()
        self._shapes = array("d")
        self._kinds = array("l")
        self._numbers: dict[str, int] = {}
        self._digests: dict[bytes, tuple[int, int]] = {}
        self._groups: dict[str, int] = {}
        self._pairs = array("q")  # rows that belong together by digest or group
        self._exact = self._differing = 0
        self._documents: dict[str, int] = {}

    def take(self, outcomes: Iterable[Outcome]) -> None:
        """Take in every outcome of a journal."""
        for outcome in outcomes:
            if isinstance(outcome, Kept):
                self._take_kept(outcome)
            elif outcome.unless_used:
                self.unused.append(outcome.unless_used)
            else:
                self.rejected[outcome.reason] += 1
                self.unread += outcome.ends
            if outcome.used:
                self.used.add(outcome.used)
        self.rejected["no_text"] += sum(name not in self.used for name in self.unused)
        self.rejected += Counter()  # without what is 0

    def _take_kept(self, row: Kept) -> None:
        number, self.rows = self.rows, self.rows + 1
        self._hashes += bytes.fromhex(row.looks)
        self._shapes.append(row.width / row.height)
        kind = f"{name_script(row.text)} {name_length(row.text)}"
        self.kinds[kind] += 1
        self._kinds.append(self._numbers.setdefault(kind, len(self._numbers)))
        first, text = self._digests.setdefault(bytes.fromhex(row.digest), (number, hash(row.text)))
        if first != number:
            self._exact += 1
            self._differing += text != hash(row.text)
            self._pairs.extend((first, number))
        if row.group is not None:
            first = self._groups.setdefault(row.group, number)
            self._pairs.extend((first, number))
        self.asks |= row.prompt is not None
        self.changes.update(row.changes)
        self.left_out.update(row.left_out)
        for name, value in row.columns.items():
            if value is not None:
                self.types.setdefault(name, set()).add(type(value))
        if isinstance(document := row.columns.get("document"), str):
            self._documents[document] = self._documents.get(document, 0) + 1

    @property
    def has_documents(self) -> bool:
        """Whether several rows are of one document."""
        return any(rows > 1 for rows in self._documents.values())

    def divide(self, division: Division, tell: Callable[[float], None]) -> Divided:
        """Join what belongs together, and divide. `tell` gets the share of the comparing that is done."""
        joined = Joined(self.rows)
        for at in range(0, len(self._pairs), 2):
            joined.join(self._pairs[at], self._pairs[at + 1])
        near = 0
        if division.near and self.rows:
            near = self._join_alike(joined, division.near, tell)
        together = array("q", map(joined.find, range(self.rows)))
        sizes = Counter(together)
        names = list(self._numbers)
        return Divided(
            splits=divide(together, self._kinds, names, shares=division.shares, seed=division.seed),
            exact=self._exact,
            differing=self._differing,
            near=near,
            groups=len(self._groups),
            sets=sum(size > 1 for size in sizes.values()),
            largest=max(sizes.values(), default=0),
        )

    def _join_alike(self, joined: Joined, near: int, tell: Callable[[float], None]) -> int:
        hashes = numpy.frombuffer(self._hashes, numpy.uint8).reshape(self.rows, BITS // 8)
        firsts = numpy.array(sorted(first for first, _ in self._digests.values()))
        shapes = numpy.frombuffer(self._shapes)[firsts]
        alike = Joined(self.rows)  # by looks alone, so that what is counted does not depend on groups
        found = 0
        for one, other in iterate_alike(hashes[firsts], shapes, near, tell):
            first, second = int(firsts[one]), int(firsts[other])
            found += alike.join(first, second)
            joined.join(first, second)
        return found


def is_left_out(outcome: Rejected, ledger: Ledger) -> bool:
    """Whether this is a rejection: a picture that a layout file chose is none."""
    return not outcome.unless_used or outcome.unless_used not in ledger.used
