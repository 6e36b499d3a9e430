"""What a training step of the whole model holds on a card, as it was rehearsed. Every size is in bytes."""

from __future__ import annotations

from preflight_ocr.harness.facts.base import Fact


class Share(Fact):
    """Weights of one part in one dtype. A tied weight counts once, in the part that names it first."""

    part: str
    dtype: str
    parameters: int
    bytes: int


class RehearsedStep(Fact):
    """The step that was rehearsed. `longest_row` in tokens; `worst_row` is the row the batch was made of, by its image or
    its text; `looked_at` of `rows` rows were prepared to find it."""

    batch_size: int
    accumulation: int
    optim: str
    precision: str
    checkpointing: bool
    attention: str
    longest_row: int
    worst_row: str
    looked_at: int
    rows: int


class Peak(Fact):
    """The most that a step holds at one time.

    `requested` is what tensors ask for (the sum of `parts`), `allocated` what torch's allocator gives out in blocks (to be
    compared with `torch.cuda.max_memory_allocated`), `reserved` the segments it opens where there is room, `segments` the
    fewest it gets by with. `context` and `libraries` come on top. `needed` is the card that is enough.
    """

    parts: dict[str, int]
    phase: str
    phases: dict[str, int]
    requested: int
    allocated: int
    reserved: int
    segments: int
    libraries: int
    context: int

    @property
    def needed(self) -> int:
        """Bytes of the smallest card on which the step runs."""
        return self.segments + self.libraries + self.context


class MemoryChange(Fact):
    """A change of the configuration: in words, what it costs, as YAML, and what a step needs after it."""

    words: str
    cost: str
    yaml: str
    needed: int
    fits: bool


class MemoryForecast(Fact):
    """The prediction. `method` says how it was made; what is not known is None, with the reason in `unknown`.

    `budget` is None where the YAML gives none, and so is `fits`. `changes` are single changes that save something, the
    cheapest first; `together` are those that fit together where no single one does. `preflight memory --json` writes it.
    """

    source: str
    method: str
    weights: tuple[Share, ...]
    weight_bytes: int | None
    trained_parameters: int | None
    trained_bytes: int | None
    step: RehearsedStep | None
    peak: Peak | None
    needed: int | None
    budget: int | None
    fits: bool | None
    changes: tuple[MemoryChange, ...]
    together: MemoryChange | None
    assumptions: tuple[str, ...]
    unknown: tuple[str, ...]
