"""What a benchmark measured, as plain data that makes the JSON round trip."""

from __future__ import annotations

from statistics import median
from typing import Literal

import msgspec

from preflight_ocr.harness.facts import Raised, Unknown


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One batch size at one page size.

    `image_size` is the longest side of the pages in pixels, None where they are as they came. `steps` and `collations` are
    seconds, one for each repetition; `tokens` are those of a batch. Bytes: `allocated` is the peak of tensors, `predicted`
    the same as `preflight memory` expects it, `reserved` the peak of torch's allocator, `overhead` what the card holds
    beside it (CUDA context, kernels, other processes). `utilisation` is in percent, `power` in watts. `left_out` counts
    sampled rows that the collator refuses at this page size.
    """

    batch: int
    image_size: int | None
    left_out: int = 0
    images: int = 0
    tokens: int = 0
    collations: tuple[float, ...] = ()
    steps: tuple[float, ...] = ()
    ended: Raised | Literal["ok"] | Unknown = "ok"
    allocated: int | Unknown
    reserved: int | Unknown
    overhead: int | Unknown
    predicted: int | Unknown
    utilisation: float | Unknown
    power: float | Unknown

    @property
    def name(self) -> str:
        """As in `batch 4, 1024 px`."""
        return f"batch {self.batch}, {self.image_size} px" if self.image_size else f"batch {self.batch}"

    @property
    def images_per_second(self) -> float | None:
        """Pages that the collator prepares in one process."""
        return self.images / median(self.collations) if self.collations else None

    @property
    def step_seconds(self) -> float | None:
        """The median step."""
        return median(self.steps) if self.steps else None

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens that are trained on or attended to, padding left out."""
        return self.tokens / median(self.steps) if self.steps else None

    @property
    def needed(self) -> int | None:
        """Bytes of the card that the step takes at its peak, None where it was not measured."""
        if isinstance(self.reserved, Unknown) or isinstance(self.overhead, Unknown):
            return None
        return self.reserved + self.overhead

    @property
    def error(self) -> float | None:
        """How far the prediction is from the measured peak of tensors, as a share of it; None where either is missing.

        What lies beside them on the card is another process' or the driver's, and differs between machines.
        """
        if isinstance(self.allocated, Unknown) or isinstance(self.predicted, Unknown):
            return None
        return self.predicted / self.allocated - 1


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured. `capability`, `memory_bytes`, `driver` and `cuda` are empty without a card."""

    device: str
    name: str
    capability: str = ""
    memory_bytes: int = 0
    driver: str = ""
    cuda: str = ""
    python: str
    platform: str
    packages: dict[str, str]


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """All points of one configuration. `notes` say what differs from the run that the YAML describes."""

    config: str
    machine: Machine
    model: str
    precision: str
    weights: Literal["real", "random"]
    checkpointing: bool
    repeats: int
    budget_bytes: int | None
    points: tuple[Point, ...]
    notes: tuple[str, ...] = ()

    def find_highest(self, image_size: int | None) -> int | Unknown:
        """The highest batch size that was measured and fits the budget, 0 where not even the smallest does."""
        points = [point for point in self.points if point.image_size == image_size]
        measured = [point for point in points if point.needed is not None]
        if self.budget_bytes is None:
            return Unknown(reason="no budget.vram_gb in the YAML")
        if not measured:
            full = [point for point in points if _is_full(point)]
            return 0 if full else Unknown(reason=next((str(_why(p)) for p in points), "nothing was measured"))
        return max((p.batch for p in measured if (p.needed or 0) <= self.budget_bytes), default=0)


def _is_full(point: Point) -> bool:
    return isinstance(point.ended, Raised) and point.ended.type == "OutOfMemoryError"


def _why(point: Point) -> str:
    if isinstance(point.ended, Raised):
        return f"{point.ended.type}: {point.ended.message}"
    return point.reserved.reason if isinstance(point.reserved, Unknown) else ""
