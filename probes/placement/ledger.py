"""Which device each tensor would be on: written down beside the tensors, which all stay on the CPU.

A device belongs to the memory and not to the tensor that looks at it, so the ledger goes by storage: views, `.data` and
`.detach()` are right by themselves. A storage is remembered by a weak reference, which keeps its address from being
given to another one, and nothing else of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from preflight_ocr.harness.facts import Origin
from preflight_ocr.probes.placement.rules import ANYWHERE


class Entry(NamedTuple):
    """Where a storage would be, and what is known of where it comes from."""

    device: str
    origin: Origin | None


NOWHERE = Entry(ANYWHERE, None)  # not written down: made before the simulation began


class Ledger:
    """Entries by storage."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[Entry, StorageWeakRef]] = {}

    def find(self, tensor: torch.Tensor) -> Entry:
        """What is written down for a tensor's memory; NOWHERE where nothing is."""
        storage = _find_storage(tensor)
        found = None if storage is None else self._entries.get(storage._cdata)
        return NOWHERE if found is None else found[0]

    def knows(self, tensor: torch.Tensor) -> bool:
        """Whether anything is written down for it."""
        storage = _find_storage(tensor)
        return storage is not None and storage._cdata in self._entries

    def write(self, tensor: torch.Tensor, device: str, origin: Origin | None = None) -> None:
        """Write down, or change, where a tensor's memory is."""
        storage = _find_storage(tensor)
        if storage is not None:
            self._entries[storage._cdata] = (Entry(device, origin), StorageWeakRef(storage))  # type: ignore[no-untyped-call]


def share_memory(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether two tensors look at one storage."""
    mine, theirs = _find_storage(left), _find_storage(right)
    return mine is not None and theirs is not None and mine._cdata == theirs._cdata


def _find_storage(tensor: torch.Tensor) -> Any:
    """A tensor's storage; that of the tensor inside, where a transform such as vmap has wrapped it; None without."""
    try:
        return tensor.untyped_storage()
    except (NotImplementedError, RuntimeError):
        inside = torch._C._functorch
        if not inside.is_functorch_wrapped_tensor(tensor):
            return None
        return _find_storage(inside.get_unwrapped(tensor))


_PLAIN = frozenset({int, float, bool, str, type(None), torch.dtype, torch.device, torch.layout, torch.Size})


def list_tensors(value: Any) -> list[torch.Tensor]:
    """The tensors in what torch's own functions take and return: values, lists, tuples and mappings of them."""
    found: list[torch.Tensor] = []
    _collect(value, found)
    return found


def _collect(value: Any, found: list[torch.Tensor]) -> None:
    if type(value) in _PLAIN:
        return
    if isinstance(value, torch.Tensor):
        found.append(value)
    elif isinstance(value, list | tuple):
        for item in value:
            _collect(item, found)
    elif isinstance(value, Mapping):
        for item in value.values():
            _collect(item, found)
