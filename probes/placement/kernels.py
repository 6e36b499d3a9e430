"""Every kernel that runs in the simulation: its tensors held to the rules, its results written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from preflight_ocr.harness.facts import Origin
from preflight_ocr.probes.placement.ledger import list_tensors
from preflight_ocr.probes.placement.rules import ANYWHERE, CPU
from preflight_ocr.probes.placement.simulation import Simulation

WAITING = {
    "_local_scalar_dense": "item",
    "nonzero": "nonzero",
    "masked_select": "masked_select",
    "equal": "equal",
    "_unique2": "unique",
    "unique_consecutive": "unique_consecutive",
    "unique_dim": "unique",
}  # kernels after which the CPU waits for the card, as their callers know them


class Kernels(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every kernel: its tensors checked, its results written down."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.simulation = simulation

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs, s = kwargs or {}, self.simulation
        with torch._C.DisableTorchFunction():
            device = s.check(func, args, kwargs)
            if device not in (CPU, ANYWHERE) and (call := WAITING.get(func._schema.name.partition("::")[2])):
                s.wait(call)
            result = _compute(func, args, kwargs, device)
            origin = None
            for made in list_tensors(result):
                if s.ledger.knows(made):
                    continue
                if func is torch.ops.aten.lift_fresh.default:  # a tensor of Python's or numpy's numbers
                    s.make(made, CPU, call="tensor")
                    continue
                if device == CPU and origin is None:
                    origin = _find_root(s, args)
                s.ledger.write(made, device, origin)
        return result


def _compute(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], device: str) -> Any:
    """The kernel's result. A card has kernels for dtypes that the CPU has none for: these are computed in float32."""
    try:
        return func(*args, **kwargs)
    except NotImplementedError:
        if device in (CPU, ANYWHERE) or not any(isinstance(a, torch.Tensor) for a in args):
            raise
    result = func(*(a.float() if isinstance(a, torch.Tensor) else a for a in args), **kwargs)
    dtype = next(a.dtype for a in args if isinstance(a, torch.Tensor))
    return result.to(dtype) if isinstance(result, torch.Tensor) else result


def _find_root(simulation: Simulation, args: Any) -> Origin | None:
    """Where something computed on the CPU comes from: the first of its tensors of which that is known."""
    origins = (simulation.find(t).origin for t in list_tensors(args))
    return next((o for o in origins if o is not None), None)
