"""How a batch gets to the card: by the installed accelerate and Trainer themselves, and what they leave behind.

A DataLoader that accelerate has prepared sends the batch on by `send_to_device`; Trainer then goes through it once more.
Both take lists, tuples and mappings apart, accelerate also calls a `.to` where there is one, and neither looks into any
other object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from preflight_ocr.harness.facts import Origin, Raised, ReturnedTensor, Unmoved
from preflight_ocr.probes.placement.rules import CARD, CPU
from preflight_ocr.probes.placement.simulation import Simulation, name_dtype
from preflight_ocr.probes.workbench.tracing import attempt

DEPTH = 8


class HeldTensor(NamedTuple):
    """A tensor in a batch: its path, and the outermost object on the way to it that is no list, tuple or mapping."""

    path: str
    holder: Any
    tensor: torch.Tensor


def walk_deep(batch: Mapping[str, Any]) -> Iterator[HeldTensor]:
    """Every tensor that can be reached from a batch, through anybody's containers, each object once."""
    seen: set[int] = set()
    for key, value in batch.items():
        yield from _walk(value, str(key), None, seen, DEPTH)


def _walk(value: Any, path: str, holder: Any, seen: set[int], depth: int) -> Iterator[HeldTensor]:
    if isinstance(value, torch.Tensor):
        yield HeldTensor(path, holder, value)
        return
    if not depth or id(value) in seen or isinstance(value, str | bytes | int | float | type | nn.Module):
        return
    seen.add(id(value))
    if holder is None and not isinstance(value, Mapping | list | tuple):
        holder = value
    for step, item in _open(value):
        yield from _walk(item, path + step, holder, seen, depth - 1)


def _open(value: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds, each with how it is written behind the object's name."""
    if isinstance(value, Mapping):
        yield from ((f"[{key!r}]", item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from (("{...}", item) for item in value)
    else:
        slots = [name for kind in type(value).__mro__ for name in _list_slots(kind)]
        yield from ((f".{name}", value.__dict__[name]) for name in getattr(value, "__dict__", {}))
        yield from ((f".{name}", getattr(value, name)) for name in slots if hasattr(value, name))


def _list_slots(kind: type) -> tuple[str, ...]:
    slots = kind.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(name for name in slots if isinstance(name, str))


def describe_type(value: Any) -> str:
    """`module.Class`; builtins by their name alone."""
    kind = type(value)
    module = kind.__module__.rpartition(".")[2]
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{module}.{kind.__qualname__}"


class _Mover:
    """As much of a Trainer as its own `_prepare_input` looks at."""

    is_deepspeed_enabled = False

    def __init__(self, device: torch.device) -> None:
        self.args = type("Arguments", (), {"device": device})()

    def _prepare_input(self, data: Any) -> Any:
        from transformers import Trainer

        return Trainer._prepare_input(self, data)


def move_as_trainer(value: Any, device: str = CARD) -> Any:
    """What Trainer hands to the model for this batch. Raises what accelerate or Trainer raise for it."""
    from accelerate.utils import send_to_device

    place = torch.device(device)
    return _Mover(place)._prepare_input(send_to_device(value, place))


def move_batch(simulation: Simulation, batch: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Unmoved, ...]]:
    """The batch as it reaches the model, and what of it stayed behind. Entries that cannot be moved stay as they are."""
    for held in walk_deep(batch):
        if not simulation.ledger.knows(held.tensor):
            simulation.ledger.write(held.tensor, CPU)
    moved = attempt(lambda: dict(move_as_trainer(batch)))
    unmoved: list[Unmoved] = []
    if isinstance(moved, Raised):
        moved = {}
        for key, value in batch.items():
            ended = attempt(lambda value=value: [move_as_trainer(value)])  # type: ignore[misc]
            if isinstance(ended, Raised):
                unmoved.append(Unmoved(path=str(key), holder=describe_type(value), raised=ended, shape=(), dtype=""))
                ended = [bring_over(simulation, value)]
            moved[key] = ended[0]
    for held in walk_deep(moved):
        is_left = simulation.find(held.tensor).device == CPU
        if is_left:
            unmoved.append(
                Unmoved(
                    path=held.path,
                    holder=describe_type(held.holder),
                    shape=tuple(held.tensor.shape),
                    dtype=name_dtype(held.tensor),
                    raised=None,
                )
            )
        origin = Origin(kind="entry", name=held.path, site=None, call="")
        simulation.ledger.write(held.tensor, simulation.find(held.tensor).device, origin)
    return moved, tuple(unmoved)


def bring_over(simulation: Simulation, value: Any) -> Any:
    """The value with each tensor in it written down as if it were on the card, so that forward can be looked at."""
    for held in walk_deep({"": value}):
        simulation.ledger.write(held.tensor, CARD, simulation.find(held.tensor).origin)
    return value


def list_returned(simulation: Simulation, batch: Mapping[str, Any]) -> tuple[ReturnedTensor, ...]:
    """The tensors that are on the card before anybody has moved the batch there."""
    found = []
    for held in walk_deep(batch):
        entry = simulation.find(held.tensor)
        if entry.device.startswith("cuda"):
            site = entry.origin.site if entry.origin else None
            found.append(
                ReturnedTensor(path=held.path, shape=tuple(held.tensor.shape), dtype=name_dtype(held.tensor), site=site)
            )
    return tuple(found)
