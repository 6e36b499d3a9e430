"""Parts of a whole as drawn bars: which modules are adapted, and where the memory of a step goes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from preflight_ocr.harness.facts import Adapter, Census, Facts, Learning, MemoryForecast, Unknown

WIDTH = 1000  # of every bar, in its own units

PARTS: Mapping[str, str] = {
    "vision": "Vision",
    "projector": "Projector",
    "embedding": "Language: embeddings",
    "attention": "Language: attention",
    "mlp": "Language: MLP",
    "experts": "Language: experts",
    "head": "Head",
    "other": "Other",
}

_MEMORY = {
    "frozen weights": ("weights", "buffers"),
    "trained weights, their gradients and optimizer states": ("adapter", "gradients", "optimizer"),
    "kept for backward": ("activations",),
    "logits, their copies and gradients": ("logits",),
    "batch, and what an operation needs meanwhile": ("batch", "workspace"),
}
"""What a reader compares -> the kinds of memory that a forecast tells apart."""
_REST = "allocator, libraries and CUDA itself"


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a bar; `kind` is a class of the style sheet, `x` and `width` are in units of WIDTH."""

    name: str
    kind: str
    count: int
    x: float
    width: float


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the census. `idle` adapters got no gradient, None where nobody looked; `unreached` had no token."""

    name: str
    modules: int
    adapted: int
    idle: int | None
    unreached: int
    segments: tuple[Segment, ...]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the model with its kinds of modules."""

    total: Bar
    kinds: tuple[Bar, ...]


class Roll(msgspec.Struct, frozen=True, kw_only=True):
    """The LoRA census. `why` says what is missing in it, empty where nothing is."""

    parts: tuple[Part, ...]
    modules: int
    adapted: int
    trainable: int
    total: int
    why: str


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the memory plot: its stretch begins where the one above it ends. `said` is its size in the plot's unit."""

    name: str
    said: str
    segment: Segment


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """A training step's memory in bytes, part by part: the stretches of `parts` lie behind each other, and those of
    `whole` are all of them together and the budget, on one scale for all. `ticks` are (x, number) in `unit`."""

    parts: tuple[Weight, ...]
    whole: tuple[Weight, ...]
    ticks: tuple[tuple[float, str], ...]
    unit: str
    total: int
    budget: int | None
    forecast: MemoryForecast

    @property
    def share(self) -> float | None:
        """The need as a share of the budget."""
        return self.total / self.budget if self.budget else None

    @property
    def fits(self) -> bool | None:
        """Whether the need is within the budget; None without one."""
        return None if self.budget is None else self.total <= self.budget


def count_adapters(facts: Facts) -> Roll | Unknown:
    """Which modules carry an adapter and which could, by part and kind."""
    adapter = facts.adapter
    if isinstance(adapter, Unknown):
        return adapter
    if isinstance(adapter.carriers, Unknown):
        return adapter.carriers
    census, why = _read_census(facts, adapter)
    parts = []
    for part in dict.fromkeys((*PARTS, *(carrier.part for carrier in adapter.carriers))):
        kinds = [carrier for carrier in adapter.carriers if carrier.part == part]
        if not kinds:
            continue
        found = census.get(part)
        idle = None if found is None else found.adapters - found.with_gradient - found.unreached
        total = _make_bar(
            PARTS.get(part, part),
            sum(k.modules for k in kinds),
            sum(k.adapted for k in kinds),
            idle,
            found.unreached if found else 0,
        )
        bars = tuple(
            _make_bar(k.name, k.modules, k.adapted, None if found is None else found.idle.get(k.name, 0), 0)
            for k in kinds
        )
        parts.append(Part(total=total, kinds=bars))
    return Roll(
        parts=tuple(parts),
        modules=sum(part.total.modules for part in parts),
        adapted=sum(part.total.adapted for part in parts),
        trainable=adapter.trainable,
        total=adapter.total,
        why=why,
    )


def _read_census(facts: Facts, adapter: Adapter) -> tuple[dict[str, Census], str]:
    """The census of the plain step by part, and why there is none."""
    if adapter.raised is not None:
        return {}, f"The adapter step raised {adapter.raised.type}: {adapter.raised.message}"
    learning = facts.learning
    if not isinstance(learning, Learning):
        return {}, f"Gradients were not looked at: {learning.reason}"
    if isinstance(learning.census, Unknown):
        return {}, f"Gradients were not looked at: {learning.census.reason}"
    return {census.part: census for census in learning.census if not census.checkpointing}, ""


def _make_bar(name: str, modules: int, adapted: int, idle: int | None, unreached: int) -> Bar:
    lost = idle or 0
    stretches = (
        ("with a gradient" if idle is not None else "adapted", "good" if idle is not None else "plain",
         max(adapted - lost - unreached, 0)),
        ("nothing of the batch went there", "unreached", unreached),
        ("adapted, without a gradient", "lost", lost),
        ("not adapted", "free", max(modules - adapted, 0)),
    )  # fmt: skip
    return Bar(
        name=name,
        modules=modules,
        adapted=adapted,
        idle=idle,
        unreached=unreached,
        segments=tuple(_lay_out(stretches, modules)),
    )


def weigh_memory(facts: Facts) -> Budget | Unknown:
    """The peak of a training step by part, against the budget."""
    forecast = facts.memory
    if isinstance(forecast, Unknown):
        return forecast
    if forecast.peak is None or forecast.needed is None:
        return Unknown(reason="; ".join(forecast.unknown))
    peak, budget = forecast.peak, forecast.budget
    named = {name: sum(peak.parts.get(kind, 0) for kind in kinds) for name, kinds in _MEMORY.items()}
    sizes = (*named.items(), (_REST, forecast.needed - sum(named.values())))
    scale = max(forecast.needed, budget or 0, 1)
    unit = choose_unit(scale)
    kind = "lost" if forecast.fits is False else "plain"
    stretches = [("together", kind, forecast.needed), *([("budget.vram_gb", "free", budget)] if budget else [])]
    return Budget(
        parts=tuple(
            Weight(name=s.name, said=spell_in(s.count, unit), segment=s)
            for s in _lay_out([(n, f"part-{i}", size) for i, (n, size) in enumerate(sizes)], scale)
        ),
        whole=tuple(
            Weight(name=s.name, said=spell_in(s.count, unit), segment=s)
            for stretch in stretches
            for s in _lay_out([stretch], scale)
        ),
        ticks=tuple(list_ticks(scale, unit)),
        unit=unit,
        total=forecast.needed,
        budget=budget,
        forecast=forecast,
    )


UNITS: Mapping[str, int] = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "B": 1}


def choose_unit(scale: int) -> str:
    """The one unit of a plot whose largest size is this many bytes."""
    return next(unit for unit, size in UNITS.items() if scale >= size or unit == "B")


def spell_in(count: int, unit: str) -> str:
    """A size in this unit, with one decimal; what is smaller than one that is shown as `< 0.1`."""
    size = count / UNITS[unit]
    return f"< 0.1 {unit}" if 0 < size < 0.05 else f"{size:,.1f} {unit}"


def list_ticks(scale: int, unit: str) -> Iterator[tuple[float, str]]:
    """Four to nine round numbers from 0 to the scale, each with its place in units of WIDTH."""
    most = scale / UNITS[unit]
    power = 10.0 ** math.floor(math.log10(most))
    step = next(s * power for s in (0.1, 0.2, 0.5, 1.0) if most / (s * power) < 10)
    for number in range(int(most / step + 1e-9) + 1):
        yield round(WIDTH * number * step / most, 1), f"{number * step:,.6g}"


def _lay_out(stretches: Sequence[tuple[str, str, int]], whole: int) -> Iterator[Segment]:
    """Side by side from the left; what is empty takes no place."""
    x = 0.0
    for name, kind, count in stretches:
        if not count:
            continue
        width = WIDTH * count / max(whole, 1)
        yield Segment(name=name, kind=kind, count=count, x=round(x, 1), width=round(width, 1))
        x += width
