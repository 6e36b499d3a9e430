"""Where image features really land.

The input embeddings' output is compared with what the first decoder block receives: a position whose vector is no longer
its token's embedding was overwritten by a feature. This needs no knowledge of the model, and it is what finds a mask that
broadcasts, shifts, falls short or lands in another row, and images that never arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from harness.facts import Landing, Unknown
from probes.parts import Anatomy


class Trace:
    """What was seen during one forward."""

    def __init__(self) -> None:
        self.embedded: torch.Tensor | None = None  # [B, S, H], copied before anything can write into it
        self.entered: torch.Tensor | None = None  # [B, S, H], input of the first decoder block
        self.scatters: list[int] = []  # features offered by each scatter, in order
        # Experts that at least one token was routed to. In the last block most tokens have no label, and an expert that
        # saw only those gets a gradient of exact zeros: backward takes it out again.
        self.reached_experts: set[str] = set()


@contextmanager
def trace_landing(model: nn.Module, anatomy: Anatomy) -> Iterator[Trace]:
    """Hook one forward of `model`. Raises LookupError where the decoder blocks cannot be told."""
    if anatomy.layers is None:
        raise LookupError("the model's decoder blocks could not be found beside its embeddings")
    trace = Trace()
    modules = dict(model.named_modules())
    block = modules[anatomy.layers + ".0"]

    def note_embedding(module: nn.Module, args: Any, output: torch.Tensor) -> None:
        if trace.embedded is None:
            trace.embedded = output.detach().clone()

    def note_entry(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden = args[0] if args else kwargs.get("hidden_states")
        if trace.entered is None and isinstance(hidden, torch.Tensor):
            trace.entered = hidden.detach().clone()

    def note_expert(name: str) -> Callable[..., None]:
        def note_gradient(gradient: torch.Tensor) -> None:
            if not bool(gradient.any()):
                trace.reached_experts.discard(name)

        def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if not args or not isinstance(args[0], torch.Tensor) or not args[0].numel():
                return
            trace.reached_experts.add(name)
            if isinstance(output, torch.Tensor) and output.requires_grad:
                output.register_hook(note_gradient)

        return note

    handles = [
        modules[anatomy.embedding].register_forward_hook(note_embedding),
        block.register_forward_pre_hook(note_entry, with_kwargs=True),
        *(
            module.register_forward_hook(note_expert(name))
            for name, module in modules.items()
            if name.rpartition(".")[0].endswith("experts") and name.rpartition(".")[2].isdigit()
        ),
    ]
    try:
        with _ScatterWatch(trace):
            yield trace
    finally:
        for handle in handles:
            handle.remove()


class _ScatterWatch(TorchFunctionMode):
    """Counts the features that `masked_scatter` is offered: its source's vectors."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in (torch.Tensor.masked_scatter_, torch.Tensor.masked_scatter, torch.masked_scatter) and len(args) == 3:
            target, _, source = args
            if isinstance(source, torch.Tensor) and target.dim() >= 2:
                self.trace.scatters.append(source.numel() // target.shape[-1])
        return func(*args, **dict(kwargs or {}))


def read_landing(trace: Trace, ids: torch.Tensor, image_token_id: int | None) -> tuple[Landing, ...] | Unknown:
    """One Landing per row. Features are given to rows only where each row had a scatter of its own."""
    if trace.embedded is None or trace.entered is None:
        return Unknown(reason="the model never embedded its input_ids, or stopped before its first decoder block")
    if trace.embedded.shape != trace.entered.shape:
        seen = f"{list(trace.embedded.shape)} became {list(trace.entered.shape)}"
        return Unknown(reason=f"the model changes the length of its sequence while merging images: {seen}")
    moved = (trace.embedded != trace.entered).any(-1)
    return tuple(
        Landing(
            row=row,
            placeholders=int((ids[row] == image_token_id).sum()) if image_token_id is not None else 0,
            features=trace.scatters[row]
            if len(trace.scatters) == len(ids)
            else Unknown(reason=f"{len(trace.scatters)} scatters were seen for {len(ids)} rows"),
            landed="".join("1" if flag else "0" for flag in moved[row].tolist()),
        )
        for row in range(len(ids))
    )
