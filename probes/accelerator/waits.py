"""Where forward makes the processor wait for the card: `.item()`, `.tolist()`, `nonzero`, copies to the host.

A processor that waits cannot run ahead, and the card idles until it is given more. torch warns at each of these where it is
asked to; where there is no card, the operations that would wait are counted.
"""

from __future__ import annotations

import linecache
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from preflight_ocr.harness import home
from preflight_ocr.harness.facts import Site

_SAID = "synchronizing CUDA operation"
_PASSED = (str(Path(torch.__file__).parent), *home.PREFIXES, warnings.__file__)
_ATEN = torch.ops.aten
_WAITING = frozenset(
    (
        _ATEN._local_scalar_dense, _ATEN.nonzero, _ATEN.masked_select, _ATEN._unique2, _ATEN.unique_consecutive,
        _ATEN.unique_dim, _ATEN.equal, _ATEN.is_nonzero, _ATEN.bincount,
    )
)  # fmt: skip
_READING = frozenset((_ATEN.index,))
_WRITING = frozenset((_ATEN.index_put, _ATEN.index_put_, _ATEN._index_put_impl_))


@contextmanager
def record_warnings(set_mode: Callable[[str], None]) -> Iterator[Counter[Site]]:
    """Count torch's warnings about synchronisation inside the block; `set_mode` is what switches them on and off."""
    found: Counter[Site] = Counter()

    def note(message: Warning | str, *rest: Any, **named: Any) -> None:
        if _SAID in str(message):
            found[find_place("synchronisation")] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        set_mode("warn")
        try:
            yield found
        finally:
            set_mode("default")


@contextmanager
def record_operations() -> Iterator[Counter[Site]]:
    """Count the operations inside the block that would wait on a card."""
    watched = _Watched()
    with watched:
        yield watched.found


class _Watched(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: Counter[Site] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        packet = func.overloadpacket
        # One number written through a mask is filled in where the mask is on; nobody has to count.
        by_mask = packet in _READING or (packet in _WRITING and args[2].numel() > 1)
        if packet in _WAITING or (by_mask and _has_mask(args[1])):
            self.found[find_place(str(packet).rpartition(".")[2])] += 1
        return func(*args, **(kwargs or {}))


def _has_mask(indices: Any) -> bool:
    """Whether one of the indices is a mask: how many elements it chooses is known only when it was computed."""
    return any(isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8) for index in indices)


def find_place(kind: str) -> Site:
    """The innermost line that belongs neither to torch nor to the probes."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(_PASSED):
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    return Site(file=Path(file).name, line=line, code=linecache.getline(file, line).strip(), kind=kind, runs=None)
