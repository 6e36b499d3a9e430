"""Where image features really land.

The input embeddings' output is compared with what the first decoder block receives: a position whose vector is no longer
its token's embedding was overwritten by a feature. This needs no knowledge of the model, and it is what finds a mask that
broadcasts, shifts, falls short or lands in another row, and images that never arrive.

Many models scale or normalise their embeddings on the way, or add positions to them: there every vector differs, and the
comparison says nothing. Then the embeddings are disturbed, and a position is overwritten where what enters the first block
does not follow its own token's embedding. That holds for any function of a position's own embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from preflight_ocr.harness.facts import Landing, Raised, Unknown
from preflight_ocr.harness.families.anatomy import Anatomy
from preflight_ocr.probes.workbench.tracing import attempt


class Trace:
    """What was seen during one forward."""

    def __init__(self) -> None:
        self.embeddings: list[torch.Tensor] = []  # every output of the embedding, copied before anything writes into it
        self.entered: torch.Tensor | None = None  # [B, S, H], input of the first decoder block
        self.scatters: list[
            tuple[int, int]
        ] = []  # positions written into and features offered, of each scatter in order
        # Experts that at least one token was routed to. In the last block most tokens have no label, and an expert that
        # saw only those gets a gradient of exact zeros: backward takes it out again.
        self.reached_experts: set[str] = set()

    @property
    def embedded(self) -> torch.Tensor | None:
        """[B, S, H]: of everything that was embedded (a separator, say, by itself), the sequence that entered."""
        shape = None if self.entered is None else self.entered.shape
        return next((e for e in self.embeddings if e.shape == shape), next(iter(self.embeddings), None))


@contextmanager
def trace_landing(model: nn.Module, anatomy: Anatomy) -> Iterator[Trace]:
    """Hook one forward of `model`. Where its decoder blocks cannot be told, nothing is seen to enter."""
    trace = Trace()
    modules = dict(model.named_modules())
    first = [modules[anatomy.layers + ".0"]] if anatomy.layers is not None else []

    def note_embedding(module: nn.Module, args: Any, output: torch.Tensor) -> None:
        if trace.entered is None:
            trace.embeddings.append(output.detach().clone())

    def note_entry(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if trace.entered is None and (hidden := _find_hidden(args, kwargs)) is not None:
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
                output.register_hook(note_gradient)  # type: ignore[no-untyped-call]

        return note

    handles = [
        modules[anatomy.embedding].register_forward_hook(note_embedding),
        *(block.register_forward_pre_hook(note_entry, with_kwargs=True) for block in first),
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


def _find_hidden(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    """The hidden states [B, S, H] among a block's arguments: the first floating-point tensor of that rank."""
    values = (*args, *kwargs.values())
    return next((v for v in values if isinstance(v, torch.Tensor) and v.dim() == 3 and v.is_floating_point()), None)


class _ScatterWatch(TorchFunctionMode):
    """Counts the features that `masked_scatter` is offered: its source's vectors."""

    overlooks_towers = True  # what a vision part does inside is nothing to it

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.Tensor.masked_scatter_, torch.Tensor.masked_scatter, torch.masked_scatter):
            target, source = (
                args[0] if args else kwargs.get("input"),
                args[2] if len(args) > 2 else kwargs.get("source"),
            )
            if isinstance(target, torch.Tensor) and isinstance(source, torch.Tensor) and target.dim() >= 2:
                width = target.shape[-1]
                self.trace.scatters.append((target.numel() // width, source.numel() // width))
        return func(*args, **kwargs)


def read_landing(
    model: nn.Module, anatomy: Anatomy, batch: Mapping[str, Any], trace: Trace, *, image_token_id: int | None
) -> tuple[Landing, ...] | Unknown:
    """One Landing per row of `batch`, whose forward `trace` is. Features are given to rows only where each row had a
    scatter of its own. Unknown where the model changes the sequence's length, or mixes positions before its first block.
    """
    ids: torch.Tensor = batch["input_ids"]
    if anatomy.layers is None:
        return Unknown(reason="the model's decoder blocks could not be found beside its embeddings")
    if trace.embedded is None or trace.entered is None:
        return Unknown(reason="the model never embedded its input_ids, or stopped before its first decoder block")
    if trace.embedded.shape != trace.entered.shape:
        seen = f"{list(trace.embedded.shape)} became {list(trace.entered.shape)}"
        return Unknown(reason=f"the model changes the length of its sequence while merging images: {seen}")
    landed = (trace.embedded != trace.entered).any(-1)
    if not _tells(landed, ids):
        follows = find_followers(model, anatomy, batch, trace)
        if isinstance(follows, Unknown):
            return follows
        landed &= ~follows
    single = len(trace.scatters) == len(ids) and all(positions == ids.shape[1] for positions, _ in trace.scatters)
    return tuple(
        Landing(
            row=row,
            placeholders=int((ids[row] == image_token_id).sum()) if image_token_id is not None else 0,
            features=trace.scatters[row][1]
            if single
            else Unknown(reason=f"{len(trace.scatters)} scatters were seen for {len(ids)} rows"),
            landed="".join("1" if flag else "0" for flag in landed[row].tolist()),
        )
        for row in range(len(ids))
    )


def share_landing(
    landings: Sequence[Landing], spans: Sequence[tuple[int, int, int]], ids: torch.Tensor, image_token_id: int | None
) -> tuple[Landing, ...]:
    """A Landing per row of data where sequences hold several: `spans` are (sequence, start, stop), in the rows' order.

    Features have no owner. Each row is given as many as it has placeholders, and what its sequence was offered beyond that,
    or less, is the last one's.
    """
    last = {sequence: max(stop for one, _, stop in spans if one == sequence) for sequence, _, _ in spans}
    shared = []
    for row, (sequence, start, stop) in enumerate(spans):
        whole = landings[sequence]
        own = int((ids[sequence, start:stop] == image_token_id).sum()) if image_token_id is not None else 0
        left = (
            0 if isinstance(whole.features, Unknown) or stop != last[sequence] else whole.features - whole.placeholders
        )
        shared.append(
            Landing(
                row=row,
                placeholders=own,
                features=whole.features if isinstance(whole.features, Unknown) else own + left,
                landed=whole.landed[start:stop],
            )
        )
    return tuple(shared)


def _tells(moved: torch.Tensor, ids: torch.Tensor) -> bool:
    """Whether the comparison alone says where features landed: a placeholder's vectors moved, and no other token's.

    Where several tokens' vectors moved, either features landed where they should not or the model does something to every
    embedding.
    """
    return not bool(moved.any()) or (not bool(moved.all()) and bool((ids[moved] == ids[moved][0]).all()))


class _Entered(Exception):
    """Ends a forward at its first decoder block."""


def find_followers(
    model: nn.Module, anatomy: Anatomy, batch: Mapping[str, Any], trace: Trace
) -> torch.Tensor | Unknown:
    """Where what enters the first block follows the position's own embedding: bool [B, S].

    The embeddings are disturbed at every second position, then at the others; forward goes no further than the first
    block. If an undisturbed position answers too, it takes in its neighbours', and nothing can be told.
    """
    assert trace.embedded is not None and trace.entered is not None
    rows, length, _ = trace.embedded.shape
    even = (torch.arange(length)[None] + torch.arange(rows)[:, None]) % 2 == 0
    follows = torch.zeros(rows, length, dtype=torch.bool)
    for disturbed in (even, ~even):
        entered = _enter(model, anatomy, batch, noise=_draw_noise(trace.embedded, disturbed))
        if isinstance(entered, Raised):
            reason = f"forward with disturbed embeddings raised {entered.type}: {entered.message}"
            return Unknown(reason=f"where features landed cannot be told: {reason}")
        answered = (entered != trace.entered).any(-1)
        if bool((answered & ~disturbed).any()):
            return Unknown(
                reason="where features landed cannot be told: what enters the model's first block at one position "
                "depends on the embeddings of others, or differs from call to call"
            )
        follows |= answered
    return follows


def _draw_noise(embedded: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """As large as the embeddings, so that half precision cannot round it away; other in every channel, so that no norm can
    take it out."""
    size = float(embedded.float().pow(2).mean().sqrt()) or 1.0
    noise = torch.randn(embedded.shape, generator=torch.Generator().manual_seed(0)) * size
    return (noise * where[..., None]).to(embedded.dtype)


def _enter(
    model: nn.Module, anatomy: Anatomy, batch: Mapping[str, Any], *, noise: torch.Tensor
) -> torch.Tensor | Raised:
    """What enters the first decoder block when `noise` is added to the embeddings of the sequence."""
    modules, entered = dict(model.named_modules()), []

    def disturb(module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor | None:
        return output + noise if output.shape == noise.shape else None

    def stop(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if (hidden := _find_hidden(args, kwargs)) is not None:
            entered.append(hidden.detach().clone())
            raise _Entered

    handles = [
        modules[anatomy.embedding].register_forward_hook(disturb),
        modules[f"{anatomy.layers}.0"].register_forward_pre_hook(stop, with_kwargs=True),
    ]
    try:
        with torch.no_grad():
            ended = attempt(lambda: model(**batch))
    finally:
        for handle in handles:
            handle.remove()
    if entered:
        return entered[0]
    return (
        ended
        if isinstance(ended, Raised)
        else Raised(type="LookupError", message="the first block was not reached", site=None)
    )
