"""How far positions reach: what the language model's rotary embedding was given, and what the model was made for."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from preflight_ocr.harness.facts import Positions, RowLength, Unknown
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.calls import Batch
from preflight_ocr.probes.workbench.tracing import attempt

IDS, MASK, POSITIONS = "input_ids", "attention_mask", "position_ids"


@contextmanager
def record_positions(parts: Assembly) -> Iterator[list[torch.Tensor]]:
    """The positions of the last forward inside the block, as the last entry: [B, S], or [axes, B, S]."""
    found: list[torch.Tensor] = []

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # A block is given masks of whole numbers as well, so that there the name has to say it.
        values = (*args, *kwargs.values()) if is_rotary(module) else (find_named(module, args, kwargs),)
        for value in values:
            if isinstance(value, torch.Tensor) and value.dim() >= 2 and value.dtype in (torch.int64, torch.int32):
                found[:] = [value.detach()]

    def is_rotary(module: nn.Module) -> bool:
        return "rotary" in type(module).__name__.lower()

    beside, first = parts.anatomy.embedding.rpartition(".")[0], f"{parts.anatomy.layers}.0"
    handles = [
        module.register_forward_pre_hook(note, with_kwargs=True)
        for name, module in parts.bare.named_modules()
        if name == first or (is_rotary(module) and name.startswith(f"{beside}." if beside else ""))
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def find_named(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a block was given as its `position_ids`, by name or in their place; None where it has no such parameter."""
    if POSITIONS in kwargs:
        return kwargs[POSITIONS]
    try:
        return inspect.signature(module.forward).bind_partial(*args).arguments.get(POSITIONS)
    except (TypeError, ValueError):  # forward has no signature, or takes fewer arguments than it was given
        return None


def look_at_positions(parts: Assembly, batch: Batch, recorded: list[torch.Tensor]) -> Positions | Unknown:
    """The highest position of each row of the sample against the configuration's own limit."""
    ids = batch.get(IDS)
    limit = find_limit(parts.bare.config)
    if limit is None:
        return Unknown(reason="the configuration names no max_position_embeddings")
    if not isinstance(ids, torch.Tensor) or ids.dim() != 2 or not recorded:
        return Unknown(reason="no rotary embedding of the language model was given positions")
    given = recorded[-1]
    if given.shape[-1] != ids.shape[1] or given.shape[-2] not in (1, len(ids)):
        return Unknown(reason="the positions that the rotary embedding was given are not those of the batch's tokens")
    axes = given.reshape(-1, *given.shape[-2:]).amax(0).expand(len(ids), -1)
    mask = batch.get(MASK)
    real = mask.bool() if isinstance(mask, torch.Tensor) and mask.shape == ids.shape else torch.ones_like(ids).bool()
    return Positions(
        limit=limit,
        rows=tuple(
            RowLength(
                row=_find_number(parts, number),
                name=Path(parts.name_page(row)).name,
                tokens=int(real[number].sum()),
                highest=_read(axes, real, number),
            )
            for number, row in enumerate(parts.sample)
            if number < len(ids)
        ),
    )


def _find_number(parts: Assembly, number: int) -> int:
    """The number of a row of the sample in the data; that in the sample where the rows cannot be looked through."""
    found = attempt(lambda: list(parts.rows).index(parts.sample[number]))
    return found if isinstance(found, int) else number


def _read(axes: torch.Tensor, real: torch.Tensor, row: int) -> int:
    own = axes[row][real[row]]
    return int(own.max()) if own.numel() else 0


def find_limit(settings: Any) -> int | None:
    """How many positions the language model was made for; what its rotary scaling adds is counted."""
    read = getattr(settings, "get_text_config", None)
    text = read() if callable(read) else settings
    limit = getattr(text, "max_position_embeddings", None)
    if not isinstance(limit, int) or limit <= 0:
        return None
    for name in ("rope_scaling", "rope_parameters"):
        scaling = getattr(text, name, None)
        nested = scaling.values() if isinstance(scaling, dict) else ()
        for one in (scaling, *nested):
            if isinstance(one, dict) and isinstance(factor := one.get("factor"), int | float):
                limit = max(limit, int((one.get("original_max_position_embeddings") or limit) * factor))
    return limit
