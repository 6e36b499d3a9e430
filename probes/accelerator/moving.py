"""Model and batch on the card, moved as Trainer moves them, and what stayed behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from preflight_ocr.harness.facts import Raised, Stray
from preflight_ocr.harness.families.anatomy import unwrap
from preflight_ocr.harness.training.adapter import attach
from preflight_ocr.harness.training.redirects import redirect_cuda
from preflight_ocr.probes.accelerator.card import Card
from preflight_ocr.probes.learning.adapter import attach_plain
from preflight_ocr.probes.learning.learning import supervise
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.calls import call
from preflight_ocr.probes.workbench.tracing import attempt


class Placed(msgspec.Struct, frozen=True):
    """A model with its adapter and a batch, both on the card. `model` is what a training step calls."""

    model: Any
    inner: Any
    batch: dict[str, Any]
    strays: tuple[Stray, ...]


def choose_part(parts: Assembly, folder: Path, *, dtype: str | None = None, attention: str | None = None) -> Assembly:
    """The same project with its weights in another dtype, or with another attention; everything is loaded anew.

    The model is always loaded onto the CPU: where a map spreads it over devices is another question.
    """
    chosen = Assembly(parts.config.source, trust=parts.config.model.trust_remote_code, folder=folder)
    model = msgspec.structs.replace(
        parts.config.model,
        device_map=None,
        torch_dtype=dtype or parts.config.model.torch_dtype,
        attn_implementation=attention or parts.config.model.attn_implementation,
    )
    chosen.config = msgspec.structs.replace(parts.config, model=model)
    return chosen


def make_batch(parts: Assembly) -> dict[str, Any]:
    """On the CPU: the user's batch where the bare model runs it, else ours. Raises ValueError where it runs neither."""
    raised: Raised | None = None
    with redirect_cuda():
        rows = parts.sample[:1] if parts.built.cut else parts.sample
        for collate in (parts.collate, parts.reference):
            if collate is None:
                continue
            batch: Any = attempt(lambda collate=collate: dict(parts.seeded(collate, rows)))  # type: ignore[misc]
            ended = batch if isinstance(batch, Raised) else attempt(partial(call, parts.bare, batch))
            if not isinstance(ended, Raised):
                return supervise(batch)
            raised = ended
    said = "there is no collator" if raised is None else f"{raised.type}: {raised.message}"
    raise ValueError(f"forward does not run on the CPU either: {said}")


def place(parts: Assembly, card: Card) -> Placed:
    """Adapt the model, and move it and a batch onto the card. Raises ValueError where not even the CPU runs them.

    A task wrapper or a wrapper of the user's that the CPU cannot call is left out: that is told elsewhere.
    """
    batch = make_batch(parts)
    with redirect_cuda():
        adapted: Any = attempt(lambda: attach(parts.model, parts.config))
        if isinstance(adapted, Raised):
            adapted = attach_plain(parts)
        inner = unwrap(adapted)[0]
        runs = not isinstance(attempt(lambda: call(adapted, batch)), Raised)
    model: Any = adapted if runs else inner
    model.to(card.device)
    moved = move(batch, card.device)
    return Placed(model, inner, moved, (*find_strays(moved, card.device), *find_left(model, card.device)))


def move(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """What a prepared DataLoader of Trainer's does with a batch."""
    from accelerate.utils import send_to_device

    moved: dict[str, Any] = send_to_device(dict(batch), device)
    return moved


def find_strays(batch: Mapping[str, Any], device: torch.device) -> Iterator[Stray]:
    """The tensors of a batch that are not on the device, with a path that reads like Python: `images[0][1]`."""
    for name, value in batch.items():
        for path, tensor in _walk(value, name):
            if tensor.device.type != device.type:
                yield _describe("batch", path, tensor)


def find_left(model: nn.Module, device: torch.device) -> Iterator[Stray]:
    """The weights and buffers of a model that are not on the device."""
    for owner, named in (("weight", model.named_parameters()), ("buffer", model.named_buffers())):
        for name, tensor in named:
            if tensor.device.type != device.type:
                yield _describe(owner, name, tensor)


def _describe(owner: Any, path: str, tensor: torch.Tensor) -> Stray:
    return Stray(owner=owner, path=path, device=str(tensor.device), shape=tuple(tensor.shape))


def _walk(value: Any, path: str) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, f"{path}[{key!r}]")
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(value):
            yield from _walk(item, f"{path}[{index}]")
    elif hasattr(value, "__dict__") and not isinstance(value, type | nn.Module):  # a record of the user's own
        for key, item in vars(value).items():
            if isinstance(item, torch.Tensor):
                yield f"{path}.{key}", item
