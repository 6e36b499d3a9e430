"""Three-dimensional positions, where a release leaves it to whoever calls forward to compute them.

Models with M-RoPE number text by its order and pictures by time, height and width; `get_rope_index` knows how. `generate`
asks it in every release, forward only in some. Where forward does not, a batch without `position_ids` is trained with flat
positions and read with others.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Any

import torch
from torch import nn

METHOD = "get_rope_index"


class RopePositions:
    """`get_rope_index` of a model, without its weights: a class and a configuration, so that it can be pickled."""

    def __init__(self, owner: type, config: Any) -> None:
        self.owner, self.config = owner, config
        self._accepts = frozenset(inspect.signature(getattr(owner, METHOD)).parameters) - {"self"}

    def __call__(self, batch: Mapping[str, Any]) -> torch.Tensor:
        """int64 [3, B, S] for the tokens, the mask and the grids of a batch. Raises what the model's own method raises."""
        asker: Any = object.__new__(self.owner)
        asker.__dict__["config"] = self.config
        given = {name: value for name, value in batch.items() if name in self._accepts}
        positions: torch.Tensor = getattr(asker, METHOD)(**given)[0]
        return positions


def find_positions(model: nn.Module) -> RopePositions | None:
    """What computes the positions that this model's forward needs and does not compute; None where it does, or has none."""
    asked = next((module for module in model.modules() if hasattr(type(module), METHOD)), None)
    if asked is None or "position_ids" not in inspect.signature(type(model).forward).parameters:
        return None
    owner = type(asked)
    return None if METHOD in _list_names(owner, owner.forward, set()) else RopePositions(owner, asked.config)


def _list_names(owner: type, function: Any, seen: set[CodeType]) -> Iterator[str]:
    """Every name in the code of `function` and of those methods of its class that it names."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None or code in seen:
        return
    seen.add(code)
    for name in code.co_names:
        yield name
        method = inspect.getattr_static(owner, name, None)
        if inspect.isfunction(method):
            yield from _list_names(owner, method, seen)
