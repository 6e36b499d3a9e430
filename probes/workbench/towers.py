"""What a frozen vision part has made of the same pixels is not computed again.

Most of what a probe changes between two calls of a model is not the page but a text, a mask, or the adapter of the language
model. With A4 pages, a quarter to two fifths of a miniature's probe went into computing the same pixels again. Where nothing
that a call depends on has changed, its result has not either, and is taken from the call before.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as modules
from torch.utils import _pytree as pytree

from preflight_ocr.harness.families.anatomy import Anatomy

__all__ = ["compute_towers", "find_towers", "keep_towers"]

_PARTS = frozenset(("vision", "projector"))
_MOST = 12  # results of one tower
_SAMPLED = 256  # values of each weight that are looked at: code can write into a tensor without its version telling
_CHANCE = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_GLOBAL_HOOKS = (
    "_global_forward_hooks",
    "_global_forward_pre_hooks",
    "_global_backward_hooks",
    "_global_backward_pre_hooks",
)

_computing: list[bool] = []


class _Call(NamedTuple):
    """Everything that a result depends on but the values of the tensors that are handed over."""

    form: Any
    others: tuple[Any, ...]
    shapes: tuple[Any, ...]
    state: tuple[Any, ...]


class _Kept(NamedTuple):
    call: _Call
    given: tuple[torch.Tensor, ...]
    result: Any


def find_towers(model: nn.Module, anatomy: Anatomy) -> list[nn.Module]:
    """The outermost modules that hold nothing but the vision part, with or without its projector."""
    found: list[nn.Module] = []

    def visit(name: str, module: nn.Module) -> None:
        parts = {anatomy.part_of(f"{name}.{own}" if name else own) for own, _ in module.named_parameters()}
        if "vision" in parts and parts <= _PARTS and not isinstance(module, nn.ModuleList | nn.ModuleDict):
            found.append(module)
        elif "vision" in parts:
            for own, child in module.named_children():
                visit(f"{name}.{own}" if name else own, child)

    visit("", model)
    return found


@contextmanager
def keep_towers(model: nn.Module, anatomy: Anatomy) -> Iterator[None]:
    """In the block, this process takes a tower's result from an earlier call where both are the same call.

    A call is computed as ever where a weight of the tower can be trained, an input carries a gradient, somebody watches (a
    hook on one of its modules, a mode of torch that was not on when the block began and does not say that it overlooks
    towers), chance was used, or a module of the
    tower came out of the call in another state.
    """
    towers = {id(tower): _Tower(tower) for tower in find_towers(model, anatomy)}
    modes = _count_modes()
    before = nn.Module.__call__

    def call(module: nn.Module, /, *given: Any, **named: Any) -> Any:
        tower = towers.get(id(module))
        if tower is None or _computing or _count_modes() != modes:
            return before(module, *given, **named)
        with torch._C.DisableTorchFunction():
            kept = tower.find(given, named)
        if kept is not None:
            return kept
        return tower.compute(before, given, named)

    nn.Module.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__call__ = before  # type: ignore[method-assign]


@contextmanager
def compute_towers() -> Iterator[None]:
    """In the block everything is computed, whatever is kept: for who asks what a call costs or leaves behind."""
    _computing.append(True)
    try:
        yield
    finally:
        _computing.pop()


def _count_modes() -> tuple[int, int, bool]:
    stack: Any = torch._C
    functions = [stack._get_function_stack_at(place) for place in range(stack._len_torch_function_stack())]
    looking = sum(not getattr(mode, "overlooks_towers", False) for mode in functions)
    return looking, stack._len_torch_dispatch_stack(), torch.is_inference_mode_enabled()


class _Tower:
    """One module, and what it has made of what."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.kept: deque[_Kept] = deque(maxlen=_MOST)
        self._pending: tuple[_Call, tuple[torch.Tensor, ...]] | None = None

    def find(self, given: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        """A copy of the earlier result; None where there is none, or the call is not one that could be kept."""
        self._pending = None
        if self._is_watched() or (torch.is_grad_enabled() and any(p.requires_grad for p in self.module.parameters())):
            return None
        leaves, form = pytree.tree_flatten((given, dict(named)))
        tensors = tuple(leaf for leaf in leaves if isinstance(leaf, torch.Tensor))
        others = tuple(leaf for leaf in leaves if not isinstance(leaf, torch.Tensor))
        if any(t.requires_grad or t.device.type != "cpu" for t in tensors) or not all(map(_is_plain, others)):
            return None
        call = _Call(form, others, tuple((t.shape, t.dtype, t.stride()) for t in tensors), self._read_state())
        for one in self.kept:
            if one.call == call and all(map(torch.equal, one.given, tensors)):
                return pytree.tree_map_only(torch.Tensor, torch.clone, one.result)
        self._pending = call, tuple(t.detach().clone() for t in tensors)
        return None

    def compute(self, run: Callable[..., Any], given: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        """The result of the call itself, which is kept where it may be."""
        pending, self._pending = self._pending, None
        if pending is None:
            return run(self.module, *given, **named)
        inside, chance = self._look_inside(), _read_chance()
        result = run(self.module, *given, **named)
        with torch._C.DisableTorchFunction():
            call, tensors = pending
            leaves = pytree.tree_leaves(result)
            sound = all(isinstance(leaf, torch.Tensor) or _is_plain(leaf) for leaf in leaves)
            moves = any(leaf.requires_grad for leaf in leaves if isinstance(leaf, torch.Tensor))
            changed = _read_chance() != chance or self._look_inside() != inside or self._read_state() != call.state
            rewritten = not all(map(torch.equal, tensors, _list_tensors(given, named)))
            if sound and not moves and not changed and not rewritten:
                self.kept.append(_Kept(call, tensors, pytree.tree_map_only(torch.Tensor, _copy, result)))
        return result

    def _is_watched(self) -> bool:
        if any(getattr(modules, name, None) for name in _GLOBAL_HOOKS):
            return True
        return any(getattr(module, name, None) for module in self.module.modules() for name in _HOOKS)

    def _read_state(self) -> tuple[Any, ...]:
        """What decides about a result besides the inputs: the weights, the modes of the modules and of torch."""
        weights = tuple(
            (id(tensor), tensor.data_ptr(), tensor._version, tensor.dtype, _sample(tensor))
            for tensor in (*self.module.parameters(), *self.module.buffers())
        )
        training = tuple(module.training for module in self.module.modules())
        return weights, training, torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def _look_inside(self) -> tuple[Any, ...]:
        """What the modules hold besides weights and modules: an id for each thing, and its length where it has one."""
        return tuple(
            tuple(
                (name, _look(value)) for name, value in vars(module).items() if name not in ("_parameters", "_modules")
            )
            for module in self.module.modules()
        )


def _look(value: Any) -> tuple[Any, ...]:
    if isinstance(value, _CHANCE):
        return (object(),)  # equal to nothing: where a module draws for itself, nothing is kept
    if isinstance(value, dict) and len(value) < 100:
        return tuple((key, id(one), _count(one)) for key, one in value.items())
    return id(value), _count(value)


def _count(value: Any) -> int | None:
    return len(value) if isinstance(value, Sized) and not isinstance(value, torch.Tensor) else None


def _list_tensors(given: tuple[Any, ...], named: Mapping[str, Any]) -> list[torch.Tensor]:
    return [leaf for leaf in pytree.tree_leaves((given, dict(named))) if isinstance(leaf, torch.Tensor)]


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | torch.dtype | torch.device)


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone()


def _sample(tensor: torch.Tensor) -> bytes:
    if tensor.device.type != "cpu" or not tensor.is_contiguous():
        return b""
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // _SAMPLED)].contiguous().view(torch.uint8).numpy().tobytes()


def _read_chance() -> tuple[Any, ...]:
    legacy: Any = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), legacy[1].tobytes(), legacy[2]
