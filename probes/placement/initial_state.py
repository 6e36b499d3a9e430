"""The state a model is in before its first forward: what it keeps as plain attributes, and putting that back.

A model fills caches when it is called: tables of angles, masks, lengths. They are made where the model is, so on a card
they are made there; what an earlier call on the CPU has left behind must not stand for what would be there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from preflight_ocr.harness.facts import Origin
from preflight_ocr.probes.placement.rules import CPU
from preflight_ocr.probes.placement.simulation import Simulation
from preflight_ocr.probes.workbench.tracing import is_foreign

_TABLES = ("_parameters", "_buffers", "_modules")


class InitialState(msgspec.Struct, frozen=True):
    """The attributes and buffers of each module, and the tensors that the user's or the model's modules hold as globals."""

    modules: tuple[tuple[nn.Module, dict[str, Any], dict[str, Any]], ...]
    globals: tuple[tuple[str, torch.Tensor], ...]


def remember(model: nn.Module) -> InitialState:
    """The state as it is now. Nothing is copied but the tables that lead to it."""
    return InitialState(
        tuple(
            (m, {k: v for k, v in m.__dict__.items() if k not in _TABLES}, dict(m._buffers)) for m in model.modules()
        ),
        tuple(_list_globals()),
    )


def put_back(initial_state: InitialState) -> None:
    """Let each module hold again the tensors that it held, and with them the numbers that tell of them.

    Nothing else is touched: hooks and patches that a first call has installed stay where they are.
    """
    for module, attributes, buffers in initial_state.modules:
        changed = [
            name
            for name in {**attributes, **module.__dict__}
            if name not in _TABLES and module.__dict__.get(name) is not attributes.get(name)
        ]
        if any(_holds_tensors(holder.get(name)) for name in changed for holder in (attributes, module.__dict__)):
            for name in changed:
                _restore(module, name, attributes)
        module._buffers.clear()
        module._buffers.update(buffers)


def _restore(module: nn.Module, name: str, attributes: Mapping[str, Any]) -> None:
    if not _is_data(module.__dict__.get(name)) or not _is_data(attributes.get(name)):
        return
    if name in attributes:
        module.__dict__[name] = attributes[name]
    else:
        del module.__dict__[name]


def _is_data(value: Any) -> bool:
    return value is None or isinstance(value, int | float | str) or _holds_tensors(value)


def _holds_tensors(value: Any) -> bool:
    return next(_open("", value), None) is not None


def write_initial_state(
    simulation: Simulation, model: nn.Module, globals_: tuple[tuple[str, torch.Tensor], ...]
) -> None:
    """Enter every tensor that moving the model has left where it was, and name those that it moved.

    Call it behind `model.to(...)`: what is written down by then was moved, by torch or by the model's own `_apply`.
    """
    for kind, named in (("parameter", model.named_parameters()), ("buffer", model.named_buffers())):
        for name, tensor in named:
            origin = Origin(kind=kind, name=name, site=None, call="")  # type: ignore[arg-type]
            simulation.ledger.write(tensor, simulation.find(tensor).device, origin)
    for name, tensor in (*_list_attributes(model), *globals_):
        if not simulation.ledger.knows(tensor):
            kind = "global" if (name, tensor) in globals_ else "attribute"
            simulation.ledger.write(tensor, CPU, Origin(kind=kind, name=name, site=None, call=""))  # type: ignore[arg-type]


def _list_attributes(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors that hang on a module without being its parameter or buffer: plainly, in a list, a tuple or a mapping."""
    for place, module in model.named_modules():
        for name, value in module.__dict__.items():
            if name not in _TABLES:
                yield from _open(f"{place}.{name}".lstrip("."), value)


def _open(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, list | tuple):
        yield from ((f"{name}[{n}]", item) for n, item in enumerate(value) if isinstance(item, torch.Tensor))
    elif isinstance(value, Mapping):
        yield from ((f"{name}[{key!r}]", item) for key, item in value.items() if isinstance(item, torch.Tensor))


def _list_globals() -> Iterator[tuple[str, torch.Tensor]]:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not is_foreign(Path(file)):
            continue
        for attribute, value in list(vars(module).items()):
            if type(value) is torch.Tensor:
                yield f"{name.rpartition('.')[2]}.{attribute}", value
