"""What is held in memory while a training step runs: every storage from the operation that makes it to its last reader.

The same bookkeeping follows a real step on the CPU and one that is rehearsed with weightless tensors, so that one
can be held against the other. What a kernel takes inside one operation is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from preflight_ocr.probes.rehearsal.weightless import execute, find_storage

Kind = Literal["weights", "adapter", "buffers", "gradients", "optimizer", "batch", "activations", "logits", "workspace"]
KINDS: tuple[Kind, ...] = (
    "weights", "adapter", "buffers", "gradients", "optimizer", "batch", "activations", "logits", "workspace",
)  # fmt: skip


class Lifetimes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows every storage made in the block. Bytes are those asked for; what an allocator makes of them is for others.

    `peak` is the most bytes held at one time, `at_peak` what they were. `events` is (storage, bytes) for each storage
    made and (storage, 0) for each one given back, in order: what an allocator is asked.
    """

    def __init__(self, *, vocabulary: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.vocabulary = vocabulary
        self.now = self.peak = 0
        self.held: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        self.at_peak: dict[Kind, int] = dict(self.held)
        self.peak_in = ""
        self.phase = "start"
        self.peaks: dict[str, int] = {}
        self.events: list[tuple[int, int]] = []
        self.assumed: set[str] = set()
        self.default: Kind = "workspace"
        self._live: dict[int, tuple[int, int, Kind]] = {}  # address -> (serial, bytes, kind)
        self._made = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = execute(func, args, kwargs or {}, self.assumed)
        if isinstance(result, torch.Tensor):
            self._note(result, self.default)
        elif isinstance(result, list | tuple):
            for one in result:
                if isinstance(one, torch.Tensor):
                    self._note(one, self.default)
        return result

    def own(self, tensors: Any, kind: Kind) -> None:
        """Storages that are there before the step, or that a caller knows to be of this kind."""
        for tensor in tensors:
            self._note(tensor, kind)
            self._label(tensor, kind)

    def begin(self, phase: str) -> None:
        """A part of the step begins: what is reached in it is its own peak."""
        self.phase = phase
        self.peaks.setdefault(phase, self.now)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Whatever autograd keeps inside the block is `activations`, unless it is known as something else."""

        def note(tensor: torch.Tensor) -> torch.Tensor:
            self._label(tensor, "activations", over=("workspace",))
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda kept: kept):
            yield

    @contextmanager
    def making(self, kind: Kind) -> Iterator[None]:
        """Whatever is made inside the block and is still there at its end is of this kind."""
        first = self._made
        yield
        for address, (serial, size, _) in list(self._live.items()):
            if serial >= first:
                self._relabel(address, serial, size, kind)

    def _note(self, tensor: torch.Tensor, kind: Kind) -> None:
        if tensor.layout is not torch.strided:
            return
        storage = find_storage(tensor)
        address = storage._cdata
        if address in self._live:
            return
        size = storage.nbytes()
        if self.vocabulary and kind == "workspace" and tensor.dim() > 1 and tensor.shape[-1] == self.vocabulary:
            kind = "logits"
        serial = self._made
        self._made += 1
        self._live[address] = (serial, size, kind)
        self.events.append((serial, size))
        self.now += size
        self.held[kind] += size
        if self.now > self.peaks.get(self.phase, 0):
            self.peaks[self.phase] = self.now
        if self.now > self.peak:
            self.peak, self.at_peak, self.peak_in = self.now, dict(self.held), self.phase
        weakref.finalize(storage, self._forget, address, serial).atexit = False

    def _forget(self, address: int, serial: int) -> None:
        found = self._live.get(address)
        if found is None or found[0] != serial:
            return
        _, size, kind = self._live.pop(address)
        self.now -= size
        self.held[kind] -= size
        self.events.append((serial, 0))

    def _label(self, tensor: torch.Tensor, kind: Kind, over: tuple[Kind, ...] = KINDS) -> None:
        address = find_storage(tensor)._cdata
        found = self._live.get(address)
        if found is not None and found[2] in over:
            self._relabel(address, found[0], found[1], kind)

    def _relabel(self, address: int, serial: int, size: int, kind: Kind) -> None:
        self.held[self._live[address][2]] -= size
        self.held[kind] += size
        self._live[address] = (serial, size, kind)
