"""Random numbers held still: generators that a collator keeps for itself start from one state at each of its calls.

What is asked of a collator is answered by batches that differ in one thing only. A seed reaches the generators of random,
NumPy and torch that everybody shares; one that the user's code keeps for its own augmentation is found among the living
objects.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy
import torch

T = TypeVar("T")

KINDS = (random.Random, numpy.random.Generator, numpy.random.RandomState)
DRAWN = 1 << 64  # NumPy draws a seed of 128 bits where it is given none; nobody writes such a number down


class Chance:
    """The generators of this process with the state that each call starts from."""

    def __init__(self) -> None:
        self._states: dict[int, tuple[Any, Any]] | None = None
        self._is_free = False

    def hold(self, run: Callable[[], T], *, is_ours: bool = False) -> T:
        """What `run` returns, with every generator that it meets as it was at the first call, and the shared ones seeded.

        What `is_ours` draws from these alone.
        """
        is_first = self._states is None and not is_ours
        if is_first:
            self._states = {}
            self._find()
        self._start()
        made = run()
        if is_first and self._find():  # made by the first call: from their second state on, all calls are alike
            self._start()
            made = run()
        return made

    @contextmanager
    def free(self) -> Iterator[None]:
        """Let generators that were made without a seed go on in the calls of this block, as they do in a run."""
        self._is_free = True
        try:
            yield
        finally:
            self._is_free = False

    def _start(self) -> None:
        for generator, state in (self._states or {}).values():
            if not (self._is_free and _is_unseeded(generator)):
                _set(generator, state)
        random.seed(0)
        numpy.random.seed(0)
        torch.manual_seed(0)

    def _find(self) -> bool:
        """Whether generators were found that were not known yet."""
        assert self._states is not None
        fresh = [one for one in _list_generators() if id(one) not in self._states]
        self._states |= {id(one): (one, _get(one)) for one in fresh}
        return bool(fresh)


UNSEEDED: set[int] = set()  # ids of random.Random objects that drew their own seed; they are kept alive below
_KEPT: list[random.Random] = []


def note_unseeded() -> None:
    """Remember every `random.Random` that is made from now on and given no seed. Does so once in a process."""
    original = random.Random.seed
    if getattr(original, "notes", False):
        return

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        original(self, a, version)
        if a is None and not isinstance(self, random.SystemRandom):
            UNSEEDED.add(id(self))
            _KEPT.append(self)
        else:
            UNSEEDED.discard(id(self))

    seed.notes = True  # type: ignore[attr-defined]
    random.Random.seed = seed  # type: ignore[method-assign]


def _is_unseeded(generator: Any) -> bool:
    if isinstance(generator, random.Random):
        return id(generator) in UNSEEDED
    entropy = getattr(getattr(getattr(generator, "bit_generator", None), "seed_seq", None), "entropy", None)
    return isinstance(entropy, int) and entropy >= DRAWN


def _list_generators() -> Iterator[Any]:
    """All that live. Types are asked and not objects: somebody's proxy may answer for its class."""
    living = gc.get_objects()
    for found in living:
        kind = type(found)
        if issubclass(kind, KINDS) and not issubclass(kind, random.SystemRandom):
            yield found
    # torch's generators are not tracked, but whatever holds one is.
    yield from (held for held in gc.get_referents(*living) if type(held) is torch.Generator)


def _get(generator: Any) -> Any:
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, numpy.random.Generator):
        return generator.bit_generator.state
    return generator.get_state()


def _set(generator: Any, state: Any) -> None:
    if isinstance(generator, random.Random):
        generator.setstate(state)
    elif isinstance(generator, numpy.random.Generator):
        generator.bit_generator.state = state
    else:
        generator.set_state(state)
