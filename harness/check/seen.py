"""What a look brought: the facts, and what there is to say of the looking itself."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import msgspec

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.facts.illustrations import Illustrations

Progress = Callable[[str], None]


class Beat(str):
    """Told of a step that goes on, once a second: which part of it runs the longest, and for how long."""

    __slots__ = ()


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """`timings` is phase -> seconds. `touched` are the files that the children opened or imported, `openings` sentences on
    what was open to foreign code. `illustrations` is None where no page was asked for. `reused` is child -> when it ran, for
    those whose answer was taken over from an earlier check."""

    facts: Facts
    timings: dict[str, float]
    touched: frozenset[str] = frozenset()
    openings: tuple[str, ...] = ()
    illustrations: Illustrations | Unknown | None = None
    reused: Mapping[str, datetime.datetime] = {}


@contextmanager
def measure(timings: dict[str, float], name: str) -> Iterator[None]:
    """Note how many seconds the block takes."""
    started = time.perf_counter()
    yield
    timings[name] = round(time.perf_counter() - started, 3)
