"""What `preflight memory` answers, every figure in bytes. `--json` writes an `MemoryAnswer` as it stands."""

from __future__ import annotations

import msgspec

CONTEXT = 512 << 20
"""What CUDA takes for itself before any tensor, by card and driver: pytorch/pytorch#86509 shows 287,047,680 bytes where
kernels are loaded lazily and 666,632,192 where they are not. It is not measured here; `nvidia-smi` shows it beside
`torch.cuda.memory_reserved()`."""
CUBLAS = 8_519_680
"""cuBLAS' workspace, which torch takes from its allocator at the first matrix product (aten/src/ATen/cuda/
CublasHandlePool.cpp, ":4096:2:16:8"); 32 MiB on Hopper."""


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """Weights of one part in one dtype. A tied weight counts once, in the part that names it first."""

    part: str
    dtype: str
    parameters: int
    bytes: int


class Step(msgspec.Struct, frozen=True, kw_only=True):
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


class Peak(msgspec.Struct, frozen=True, kw_only=True):
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
    libraries: int = CUBLAS
    context: int = CONTEXT

    @property
    def needed(self) -> int:
        """Bytes of the smallest card on which the step runs."""
        return self.segments + self.libraries + self.context


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the configuration: in words, what it costs, as YAML, and what a step needs after it."""

    words: str
    cost: str
    yaml: str
    needed: int
    fits: bool


class MemoryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The prediction. `method` says how it was made; what is not known is None, with the reason in `unknown`."""

    source: str
    method: str
    weights: tuple[Share, ...] = ()
    weight_bytes: int | None = None
    trained_parameters: int | None = None
    trained_bytes: int | None = None
    step: Step | None = None
    peak: Peak | None = None
    needed: int | None = None
    budget: int | None = None
    fits: bool | None = None
    changes: tuple[Change, ...] = ()
    together: Change | None = None
    assumptions: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def judge(answer: MemoryAnswer) -> MemoryAnswer:
    """The answer with `fits`: yes or no where the peak is known, no where the weights alone are over the budget."""
    needed = answer.peak.needed if answer.peak is not None else None
    fits: bool | None = None
    if answer.budget is not None:
        if needed is not None:
            fits = needed <= answer.budget
        elif answer.weight_bytes is not None and answer.weight_bytes + CONTEXT > answer.budget:
            fits = False
    return msgspec.structs.replace(answer, needed=needed, fits=fits)
