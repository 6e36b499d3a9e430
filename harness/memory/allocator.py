"""What torch's caching allocator makes of a step: sizes rounded up, cut out of segments, and given back to them.

A card runs out of memory by its segments, not by the bytes that tensors asked for. The rules are those of
c10/cuda/CUDACachingAllocator.cpp with its settings left alone: sizes to a multiple of 512 bytes; requests up to 1 MiB from
segments of 2 MiB, up to 10 MiB from segments of 20 MiB, larger ones from segments of their own rounded to 2 MiB; the
smallest block that fits is cut where enough is left over, neighbours that are free become one again; and before a card is
said to be full, segments that are wholly free are handed back.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

import msgspec

ROUND, SMALL, SMALL_SEGMENT = 512, 1 << 20, 2 << 20
LARGE, LARGE_SEGMENT, ROUND_LARGE = 10 << 20, 20 << 20, 2 << 20

Event = tuple[int, int]
"""(storage, bytes) where it is made, (storage, 0) where it is given back."""


class OutOfMemory(Exception):
    """The step does not fit under the limit."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The most that was held at one time, in bytes: `allocated` in blocks, `reserved` in segments."""

    allocated: int
    reserved: int


class _Block:
    __slots__ = ("after", "before", "free", "segment", "size", "small", "start")

    def __init__(self, start: int, size: int, segment: int, small: bool) -> None:
        self.start, self.size, self.segment, self.small = start, size, segment, small
        self.before: _Block | None = None
        self.after: _Block | None = None
        self.free = True


class Allocator:
    """One card. `limit` is how many bytes its segments may take, None for as many as they want."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.allocated = self.reserved = self.most_allocated = self.most_reserved = 0
        self._next = 0
        self._free: dict[bool, list[tuple[int, int]]] = {True: [], False: []}  # small? -> (size, start), sorted
        self._blocks: dict[int, _Block] = {}  # start -> free block
        self._used: dict[int, _Block] = {}

    def play(self, events: Iterable[Event]) -> Taken:
        """All of a step's events. Raises OutOfMemory where they do not fit under the limit."""
        for storage, size in events:
            if size:
                self.allocate(storage, size)
            else:
                self.free(storage)
        return Taken(allocated=self.most_allocated, reserved=self.most_reserved)

    def allocate(self, storage: int, size: int) -> None:
        """Bytes for a storage. Raises OutOfMemory."""
        size = round_up(size, ROUND)
        small = size <= SMALL
        block = self._find(size, small) or self._open(size, small)
        left = block.size - size
        if left >= ROUND if small else left > SMALL:
            rest = _Block(block.start + size, left, block.segment, small)
            rest.before, rest.after = block, block.after
            if block.after is not None:
                block.after.before = rest
            block.after, block.size = rest, size
            self._put(rest)
        block.free = False
        self._used[storage] = block
        self.allocated += block.size
        self.most_allocated = max(self.most_allocated, self.allocated)

    def free(self, storage: int) -> None:
        """Give a storage's block back; one that was never made (of no bytes) is none."""
        block = self._used.pop(storage, None)
        if block is None:
            return
        self.allocated -= block.size
        if block.before is not None and block.before.free:
            block = self._join(self._take(block.before), block)
        if block.after is not None and block.after.free:
            block = self._join(block, self._take(block.after))
        self._put(block)

    def _join(self, left: _Block, right: _Block) -> _Block:
        left.size += right.size
        left.after = right.after
        if right.after is not None:
            right.after.before = left
        return left

    def _find(self, size: int, small: bool) -> _Block | None:
        pool = self._free[small]
        at = bisect_left(pool, (size, -1))
        return self._take(self._blocks[pool[at][1]]) if at < len(pool) else None

    def _open(self, size: int, small: bool) -> _Block:
        needed = SMALL_SEGMENT if small else LARGE_SEGMENT if size < LARGE else round_up(size, ROUND_LARGE)
        if self.limit is not None and self.reserved + needed > self.limit:
            self._hand_back()
            if self.reserved + needed > self.limit:
                raise OutOfMemory
        self.reserved += needed
        self.most_reserved = max(self.most_reserved, self.reserved)
        block = _Block(self._next, needed, needed, small)
        self._next += needed
        return block

    def _hand_back(self) -> None:
        for block in [b for b in self._blocks.values() if b.size == b.segment]:
            self._take(block)
            self.reserved -= block.segment

    def _put(self, block: _Block) -> None:
        block.free = True
        insort(self._free[block.small], (block.size, block.start))
        self._blocks[block.start] = block

    def _take(self, block: _Block) -> _Block:
        pool = self._free[block.small]
        del pool[bisect_left(pool, (block.size, block.start))]
        del self._blocks[block.start]
        return block


def round_up(size: int, step: int) -> int:
    """The next multiple."""
    return -(-size // step) * step


def measure(events: Sequence[Event]) -> Taken:
    """On a card with room for everything."""
    return Allocator().play(events)


def fits(events: Sequence[Event], limit: int) -> bool:
    """Whether a step gets by with segments of so many bytes in all."""
    try:
        Allocator(limit).play(events)
    except OutOfMemory:
        return False
    return True


def find_smallest_limit(events: Sequence[Event], *, steps: int = 8) -> int:
    """The fewest bytes of segments that the step gets by with, to a 2**steps-th of what the allocator would like."""
    taken = measure(events)
    low, high = taken.allocated, taken.reserved
    if high - low <= ROUND_LARGE or fits(events, low):
        return low if fits(events, low) else high
    for _ in range(steps):
        middle = (low + high) // 2
        low, high = (low, middle) if fits(events, middle) else (middle, high)
        if high - low <= ROUND_LARGE:
            break
    return high
