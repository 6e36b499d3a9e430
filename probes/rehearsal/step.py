"""One training step as Trainer makes it, its tensors followed by `Lifetimes`: with real weights, or without numbers.

The step is one of a run that is under way: the optimizer has its states, and with accumulation the gradients of the
earlier rows are there. Only then a step is at its largest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from typing import Any

import msgspec
import torch
from torch import nn

from preflight_ocr.harness.memory.optimizers import LIBRARY, count_state_bytes
from preflight_ocr.harness.training.checkpointing import start_checkpointing, stop_checkpointing
from preflight_ocr.probes.rehearsal.cuda_rules import on_card
from preflight_ocr.probes.rehearsal.lifetimes import Lifetimes
from preflight_ocr.probes.rehearsal.weightless import Weightless, without_weights
from preflight_ocr.probes.workbench.calls import read_loss


class Rehearsed(msgspec.Struct, frozen=True, kw_only=True):
    """How the step is made. `autocast` is the dtype of mixed precision, None without; `weightless` runs it without weights;
    `card` with what torch does on an accelerator; `checkpointing` holds its settings, None where it is off."""

    optim: str
    accumulation: int = 1
    autocast: Any = None
    checkpointing: Mapping[str, Any] | None = None
    weightless: bool = True
    card: bool = True


def rehearse(adapted: Any, batch: Mapping[str, Any], step: Rehearsed, *, vocabulary: int | None = None) -> Lifetimes:
    """Make one step of `adapted` on `batch` and say what was held. Raises what forward raises, and Undecided where shapes
    depend on what the weights would compute."""
    lifetimes = Lifetimes(vocabulary=vocabulary)
    if step.checkpointing is not None:
        start_checkpointing(adapted, dict(step.checkpointing))
    mode = adapted.training
    adapted.train()
    try:
        with ExitStack() as stack:
            if step.weightless:
                stack.enter_context(without_weights(adapted))
            if step.card:
                stack.enter_context(on_card())
            _make_step(adapted, batch, step, lifetimes, stack)
    finally:
        adapted.train(mode)
        adapted.zero_grad(set_to_none=True)
        if step.checkpointing is not None:
            stop_checkpointing(adapted)
    return lifetimes


def _make_step(adapted: Any, batch: Mapping[str, Any], step: Rehearsed, lifetimes: Lifetimes, stack: ExitStack) -> None:
    weights = list(adapted.parameters())
    trained = [p for p in weights if p.requires_grad]
    lifetimes.own((p for p in weights if not p.requires_grad), "weights")
    lifetimes.own(trained, "adapter")
    lifetimes.own(adapted.buffers(), "buffers")
    with lifetimes:
        optimizer = _start_optimizer(step, trained, lifetimes)
        if step.accumulation > 1:
            with lifetimes.making("gradients"):
                _give_gradients(trained)
        waiting = _own_batches(batch, step.accumulation, lifetimes)
        stack.callback(_mark_gradients(trained, lifetimes))
        lifetimes.begin("forward")
        loss = _run_forward(adapted, batch, step, lifetimes)
        lifetimes.begin("backward")
        _run_backward(loss)
        del loss
        lifetimes.begin("optimizer")
        optimizer.step()
        for parameter in trained:
            parameter.grad = None
        lifetimes.begin("end")
        del waiting


def _run_forward(adapted: Any, batch: Mapping[str, Any], step: Rehearsed, lifetimes: Lifetimes) -> torch.Tensor:
    """The loss; what forward returned besides is let go, as in Trainer."""
    from accelerate.utils import convert_to_fp32

    casting = nullcontext() if step.autocast is None else torch.autocast("cpu", dtype=step.autocast)
    with lifetimes.keeping():
        with casting:
            outputs = adapted(**batch)
        if step.autocast is not None:
            outputs = convert_to_fp32(outputs)  # accelerate does this to whatever forward returns
        loss = read_loss(outputs)
    if not isinstance(loss, torch.Tensor):
        raise TypeError(f"forward returned no loss tensor but {type(loss).__name__}")
    return loss / step.accumulation if step.accumulation > 1 else loss


def _run_backward(loss: torch.Tensor) -> None:
    """As `loss.backward()`, which is a function that modes may replace and therefore runs without them: what checkpointing
    recomputes in backward would be computed by other rules than in forward."""
    engine = torch.autograd.Variable._execution_engine
    engine.run_backward(
        (loss,), (torch.ones_like(loss),), False, False, (), allow_unreachable=True, accumulate_grad=True
    )


def _own_batches(batch: Mapping[str, Any], accumulation: int, lifetimes: Lifetimes) -> list[torch.Tensor]:
    """The batch, and as many others as are accumulated: Trainer fetches all of them before the first forward and holds them
    to the end of the step."""
    tensors = list(list_tensors(batch))
    lifetimes.own(tensors, "batch")
    size = sum(t.untyped_storage().nbytes() for t in tensors)
    others: list[torch.Tensor] = [
        Weightless(torch.empty(size, dtype=torch.uint8, device="meta")) for _ in range(accumulation - 1)
    ]
    lifetimes.own(others, "batch")
    return others


def _mark_gradients(trained: list[nn.Parameter], lifetimes: Lifetimes) -> Callable[[], None]:
    """Call each gradient by its name as soon as it is there; what is returned undoes that."""

    def mark(parameter: torch.Tensor) -> None:
        if parameter.grad is not None:
            lifetimes.own([parameter.grad], "gradients")

    handles = [p.register_post_accumulate_grad_hook(mark) for p in trained]  # type: ignore[no-untyped-call]

    def undo() -> None:
        for handle in handles:
            handle.remove()

    return undo


def _give_gradients(trained: list[nn.Parameter]) -> None:
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)


def _start_optimizer(step: Rehearsed, trained: list[nn.Parameter], lifetimes: Lifetimes) -> Any:
    """The optimizer after its first step, so that its states are there."""
    with lifetimes.making("optimizer"):
        made = _make_optimizer(step, trained)
        if made is not None:
            _give_gradients(trained)
            made.step()
            for parameter in trained:
                parameter.grad = None
    if made is None:
        sizes = [count_state_bytes(step.optim, p.numel(), p.element_size(), tuple(p.shape)) for p in trained]
        states: list[torch.Tensor] = [Weightless(torch.empty(size, dtype=torch.uint8, device="meta")) for size in sizes]
        lifetimes.own(states, "optimizer")
        return _Sized(states)
    return made


class _Sized:
    """An optimizer of a library that is not here: only what it holds is known."""

    def __init__(self, states: list[torch.Tensor]) -> None:
        self.states = states

    def step(self) -> None:
        """Its kernels write in place."""


def _make_optimizer(step: Rehearsed, trained: list[nn.Parameter]) -> Any:
    """With a rate of zero: a step is for its states, and a real model is to stay as it is."""
    optim = torch.optim
    foreach = step.card and step.optim in ("adamw_torch", "adamw_hf", "sgd", "rmsprop", "adagrad", "nadamw", "radamw")
    match LIBRARY.get(step.optim):
        case "adamw":
            return optim.AdamW(trained, lr=0.0, foreach=foreach)
        case "sgd":
            return optim.SGD(trained, lr=0.0, foreach=foreach)
        case "rmsprop":
            return optim.RMSprop(trained, lr=0.0, foreach=foreach)
        case "adagrad":
            return optim.Adagrad(trained, lr=0.0, foreach=foreach)
        case "adafactor":
            from transformers.optimization import Adafactor

            return Adafactor(trained, lr=0.0, scale_parameter=False, relative_step=False)
    return None


def list_tensors(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor of a batch, however deep."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from list_tensors(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from list_tensors(one)
