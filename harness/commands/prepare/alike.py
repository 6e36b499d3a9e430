"""Which pictures are near duplicates: perceptual hashes that differ in few bits, of pictures of about one shape.

Every pair is compared, in blocks: the memory is that of two blocks, whatever the number of pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy

BITS = 256
SHAPE_TOLERANCE = 0.1
"""By how much the width over the height of two pictures may differ. Copies keep their shape; lines of print differ in it."""

_BLOCK = 2048
_STEP = 0.01  # of the logarithm of width over height, within which one picture of a hash stands for the others


def iterate_alike(hashes: Any, shapes: Any, near: int, tell: Callable[[float], None]) -> Iterator[tuple[int, int]]:
    """Pairs of numbers of pictures, enough to join all that are alike. Order and content are the same each time.

    hashes: (pictures, 32) uint8. shapes: (pictures,) float, width over height. near: bits that may differ. `tell` gets the
    share that is done.
    """
    shapes = numpy.log(shapes)
    steps = numpy.floor(shapes / _STEP).astype(numpy.int64)
    keys = numpy.lexsort((*hashes.T[::-1], steps))
    same = numpy.zeros(len(keys), bool)
    same[1:] = (hashes[keys[1:]] == hashes[keys[:-1]]).all(1) & (steps[keys[1:]] == steps[keys[:-1]])
    for at in numpy.flatnonzero(same):
        yield int(keys[at - 1]), int(keys[at])
    chosen = keys[~same]
    chosen = chosen[numpy.argsort(shapes[chosen], kind="stable")]
    yield from _compare(hashes[chosen], shapes[chosen], chosen, near, tell)


def _compare(
    hashes: Any, shapes: Any, numbers: Any, near: int, tell: Callable[[float], None]
) -> Iterator[tuple[int, int]]:
    tolerance = numpy.log1p(SHAPE_TOLERANCE)
    for start in range(0, len(hashes), _BLOCK):
        tell(start / len(hashes))
        mine = _unpack(hashes[start : start + _BLOCK])
        reach = int(numpy.searchsorted(shapes, shapes[min(start + _BLOCK, len(shapes)) - 1] + tolerance, side="right"))
        for other in range(start, reach, _BLOCK):
            theirs = mine if other == start else _unpack(hashes[other : other + _BLOCK])
            # Of signs, the product counts the bits that agree less those that differ.
            first, second = numpy.nonzero(mine @ theirs.T >= BITS - 2 * near)
            first, second = first + start, second + other
            close = (first < second) & (shapes[second] - shapes[first] <= tolerance)
            yield from zip(numbers[first[close]].tolist(), numbers[second[close]].tolist(), strict=True)


def _unpack(hashes: Any) -> Any:
    return numpy.unpackbits(hashes, axis=1).astype(numpy.float32) * 2 - 1
