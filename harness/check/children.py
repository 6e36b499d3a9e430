"""The children of a check: which there are, what each fills, and how they are run beside each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from preflight_ocr.harness.check.answers import read_answer
from preflight_ocr.harness.check.asked import Asked
from preflight_ocr.harness.check.endings import tell
from preflight_ocr.harness.check.sandboxes import count_together, limit
from preflight_ocr.harness.check.seen import Beat, Progress
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import (
    Adapter,
    Brought,
    Collator,
    Configuration,
    Facts,
    Forward,
    Learning,
    MemoryForecast,
    Processor,
    Raised,
    Rehearsal,
    RoundTrip,
    Site,
    Unknown,
)
from preflight_ocr.harness.facts.illustrations import Illustrations
from preflight_ocr.harness.isolation import Died, Job, Returned, Sandbox

IN_ALL = 3  # times the seconds of one child, for all children of a check together
NOT_NEEDED = Unknown(reason="not run: no chosen contract needs it")
BROUGHT = Unknown(reason="no step was rehearsed at full size: subject.trainer brings a collator or rows of its own")
NO_BUDGET = Unknown(
    reason="no step was rehearsed: budget.vram_gb is not set; set it, or type `preflight memory CONFIG` for the figure"
)


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """A probe that runs foreign code in a process of its own.

    `entry` is the function that it calls; `fills` is section of the facts -> (kind, where the answer holds it, None for the
    whole answer). `then` is started in the same folder once this one has answered. `drawing` takes the place of `entry`
    where a page is asked for. `is_wanted` tells whether a check of this configuration has use for it.
    """

    name: str
    entry: str
    fills: Mapping[str, tuple[Any, str | None]]
    then: Child | None = None
    drawing: str = ""
    is_wanted: Callable[[Config, Asked], bool] = lambda config, asked: True


RELOAD = Child(name="reload", entry="preflight_ocr.probes.rehearsal.life:reload", fills={})
CHILDREN = (  # the longest first
    Child(
        name="learning",
        entry="preflight_ocr.probes.rehearsal.life:observe",
        fills={
            "adapter": (Adapter, "adapter"),
            "learning": (Learning, "learning"),
            "rehearsal": (Rehearsal, "rehearsal"),
        },
        then=RELOAD,
    ),
    Child(name="forward", entry="preflight_ocr.probes.forward.forward:observe", fills={"forward": (Forward, None)}),
    Child(
        name="collator",
        entry="preflight_ocr.probes.batch.collator:observe",
        fills={"collator": (Collator, "collator")},
        drawing="preflight_ocr.probes.batch.illustrations:observe",
    ),
    Child(
        name="processor",
        entry="preflight_ocr.probes.batch.processor:observe",
        fills={"processor": (Processor, None)},
    ),
    Child(
        name="memory",
        entry="preflight_ocr.probes.rehearsal.forecast:observe",
        fills={"memory": (MemoryForecast, None)},
        is_wanted=lambda config, asked: config.budget.vram_gb is not None or asked.illustrated,
    ),
)
READING = Raised | Literal["done"] | Unknown
RAN = ("processor", "collator", "forward", "adapter", "learning", "rehearsal", "memory")
"""The sections that children fill, in the order of the facts."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What some children would see, known from a check whose `facts` these are: those of `children` are not run again.

    The caller guarantees that running these children again would give the same facts; this is not verified.
    """

    facts: Facts
    children: tuple[str, ...]


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What the children that ran came back with, by their names: the value, or why there is none; and their seconds."""

    values: Mapping[str, Any]
    seconds: Mapping[str, float]
    touched: frozenset[str] = frozenset()
    touched_by: Mapping[str, frozenset[str]] = {}


def run_children(
    config: Config,
    asked: Asked,
    sandbox: Sandbox,
    folder: Path,
    *,
    progress: Progress,
    spared: frozenset[str] = frozenset(),
    together: int | None = None,
) -> Answers:
    """Run every child that is wanted, needed and not `spared`, `together` at a time; as many as there are cores."""
    limits = limit(asked.seconds)
    deadline = time.monotonic() + IN_ALL * limits.seconds

    def submit(child: Child, place: Path) -> Job:
        place.mkdir(exist_ok=True)
        progress(f"running: {child.name}")
        arguments = {"config_path": str(config.source), "trust": asked.trust, "folder": str(place)}
        entry = child.drawing if child.drawing and asked.illustrated else child.entry
        # What one child may take is cut to what is left for all, so that the whole check has an end too.
        left = max(1.0, min(limits.seconds, deadline - time.monotonic()))
        return sandbox.submit(entry, arguments, limits=msgspec.structs.replace(limits, seconds=left))

    waiting = [c for c in choose_children(config, asked) if c.name not in spared]
    running: dict[str, tuple[Child, Job]] = {}
    since: dict[str, float] = {}
    values: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    touched: dict[str, frozenset[str]] = {}
    cores = together or count_together()
    while waiting or running:
        while waiting and len(running) < cores:
            child = waiting.pop(0)
            running[child.name], since[child.name] = (child, submit(child, folder / child.name)), time.monotonic()
        child, job = running.pop(_await_one({name: job for name, (_, job) in running.items()}, since, progress))
        ended = job.result()
        values[child.name] = ended.value if isinstance(ended, Returned) else tell(ended)
        seconds[child.name] = round(ended.seconds, 3)
        if not isinstance(ended, Died):
            touched[child.name] = frozenset(ended.touched)
        if child.then is not None and isinstance(values[child.name], dict):
            running[child.then.name] = (child.then, submit(child.then, folder / child.name))
            since[child.then.name] = time.monotonic()
    for child in CHILDREN:
        if child.then is not None and child.then.name in touched:
            touched[child.name] = touched.get(child.name, frozenset()) | touched[child.then.name]
    return Answers(values=values, seconds=seconds, touched=frozenset().union(*touched.values()), touched_by=touched)


def choose_children(config: Config, asked: Asked) -> tuple[Child, ...]:
    """Those that this configuration has use for, and whose sections a chosen contract needs."""
    sections = asked.sections
    if sections is not None and "processor" in sections:
        sections |= {"collator"}  # the collator's child notes how the processor was called
    needed = [c for c in CHILDREN if sections is None or sections & c.fills.keys() or (c.drawing and asked.illustrated)]
    return tuple(child for child in needed if child.is_wanted(config, asked))


def _await_one(running: Mapping[str, Job], since: Mapping[str, float], progress: Progress) -> str:
    """The first job that has ended, so that its core is free for another. Tells each second what runs the longest."""
    beat = time.monotonic() + 1
    while True:
        for name, job in running.items():
            if job.is_done:
                return name
        if (now := time.monotonic()) >= beat:
            longest = min(running, key=lambda name: since[name])
            others = f", {len(running) - 1} more beside it" if len(running) > 1 else ""
            progress(Beat(f"running: {longest} for {now - since[longest]:.0f} s{others}"))
            beat = now + 1
        time.sleep(0.01)


def gather(facts: Facts, values: Mapping[str, Any], known: Known | None = None) -> Facts:
    """The facts with what the children answered; a child that gave no answer leaves its reason.

    `values` is child -> its answer, or an Unknown. A child that was not run leaves what is `known`, or that it was not
    needed.
    """
    filled: dict[str, Any] = {}
    for child in CHILDREN:
        for section, (kind, key) in child.fills.items():
            if child.name in values:
                value = values[child.name]
                filled[section] = value if isinstance(value, Unknown) else read_answer(value, kind, key)
            elif known is not None and child.name in known.children:
                filled[section] = getattr(known.facts, section)
            else:
                filled[section] = NO_BUDGET if child.name == "memory" else NOT_NEEDED
    processor, learning = filled["processor"], filled["learning"]
    if isinstance(processor, Processor):
        calls = _read_image_calls(filled["collator"], values, known)
        filled["processor"] = msgspec.structs.replace(processor, image_calls=calls)
    if isinstance(learning, Learning) and RELOAD.name in values:
        value = values[RELOAD.name]
        round_trip = value if isinstance(value, Unknown) else read_answer(value, RoundTrip, "round_trip")
        if not (isinstance(round_trip, Unknown) and _says_why(learning.round_trip)):
            filled["learning"] = msgspec.structs.replace(learning, round_trip=round_trip)
    if isinstance(rehearsal := filled["rehearsal"], Rehearsal) and RELOAD.name in values:
        value = values[RELOAD.name]
        reading: Any = value if isinstance(value, Unknown) else read_answer(value, READING, "reading")
        filled["rehearsal"] = msgspec.structs.replace(rehearsal, reading=reading)
    brought = read_answer(values["collator"], Brought, "brought") if isinstance(values.get("collator"), dict) else None
    if isinstance(brought, Brought) and brought.unbuilt:
        reason = f"subject.trainer could not be built, so that nobody knows what it collates with: {brought.unbuilt}"
        filled["collator"] = Unknown(reason=reason)
    elif isinstance(brought, Brought) and brought.parts:
        filled |= _bring(facts, brought)
    return msgspec.structs.replace(facts, **filled)


def _bring(facts: Facts, brought: Brought) -> dict[str, Any]:
    """What is true of the run where the trainer's own collator or rows take the place of what it is handed."""
    filled: dict[str, Any] = {"memory": BROUGHT}
    if isinstance(facts.configuration, Configuration) and "collator" in brought.parts:
        parts = tuple(dict.fromkeys((*facts.configuration.replaced_parts, "collator")))
        filled["configuration"] = msgspec.structs.replace(facts.configuration, replaced_parts=parts)
    if brought.dataset is not None:
        filled["dataset"] = brought.dataset
    return filled


def read_illustrations(values: Mapping[str, Any]) -> Illustrations | Unknown | None:
    """What the collator's child drew; None where it did not run."""
    if "collator" not in values:
        return None
    value = values["collator"]
    found: Illustrations | Unknown = (
        value if isinstance(value, Unknown) else read_answer(value, Illustrations, "illustrations")
    )
    return found


def _read_image_calls(collator: Collator | Unknown, values: Mapping[str, Any], known: Known | None) -> tuple[Site, ...]:
    """The calls that the collator's child noted; they are facts about the processor."""
    if "collator" not in values:
        seen = known.facts.processor if known is not None else None
        return seen.image_calls if isinstance(seen, Processor) else ()
    if isinstance(collator, Unknown):
        return ()
    calls = read_answer(values["collator"], tuple[Site, ...], "image_calls")
    return () if isinstance(calls, Unknown) else calls


def _says_why(round_trip: RoundTrip | Unknown) -> bool:
    """Whether the first process already knows why no adapter was saved."""
    return isinstance(round_trip, Unknown) and round_trip.cause != "awaits another process"
