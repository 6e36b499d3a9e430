"""The recipe moves the model: how far the run's own rate, schedule and number of steps can take the adapter.

Adam moves a weight by about the learning rate in each step, whatever the size of the gradient. So the rates of all steps
together are as far as any weight can get, and the rate at its peak is how far one step goes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Raised, Recipe, Unknown
from preflight_ocr.probes.reading.configuration import count_steps, count_warmup
from preflight_ocr.probes.workbench.calls import read_logits
from preflight_ocr.probes.workbench.tracing import attempt

ADAMS = ("adam", "paged_adam", "galore_adam", "stable_adam", "lion", "paged_lion", "ademamix")
SMALLEST = 1e-3  # a way that is measured; half precision rounds shorter ones, whose effect is proportional
LONGEST_DRAWN = 1000  # steps; the schedule of a longer run is drawn with as many, in proportion


def look_at_recipe(
    config: Config, inner: nn.Module, step: Callable[[], torch.Tensor], batch: Mapping[str, Any]
) -> Recipe | Unknown:
    """What the run of `config` can do to `inner`, whose adapter is as it was before any step. Leaves it so.

    `step` gives the loss in training mode, `batch` is what the logits are compared on.
    """
    found = attempt(lambda: _look(config, inner, step, batch))
    return Unknown(reason=f"{found.type}: {found.message}") if isinstance(found, Raised) else found


def _look(
    config: Config, inner: nn.Module, step: Callable[[], torch.Tensor], batch: Mapping[str, Any]
) -> Recipe | Unknown:
    training = config.training
    if config.subject.trainer is not None:
        return Unknown(reason="the trainer is your own, and may have an optimizer and a schedule of its own")
    if training.optim is not None and not training.optim.lower().startswith(ADAMS):
        return Unknown(reason=f"how far one step of {training.optim} goes is not told by its rate alone")
    steps = count_steps(config)
    if isinstance(steps, Unknown):
        return steps
    rates = draw_rates(config, steps)
    reach, peak = sum(rates) * steps / max(len(rates), 1), max(rates, default=0.0)
    inner.zero_grad(set_to_none=True)
    step().backward()  # type: ignore[no-untyped-call]
    signs = {p: p.grad.sign() for p in inner.parameters() if p.requires_grad and p.grad is not None and p.grad.any()}
    inner.zero_grad(set_to_none=True)
    if not signs:
        return Unknown(reason="no trained weight has a gradient")
    before = _read(inner, batch)
    measured = max(reach, SMALLEST)
    with _moved(signs, by=measured):
        after = _read(inner, batch)
    with _moved(signs, by=peak):
        shares = _weigh(inner)
    return Recipe(
        steps=steps,
        peak=peak,
        reach=reach,
        change=float((after - before).abs().max() / before.std().clamp(min=1e-6)) * reach / measured,
        share=statistics.median(shares) if shares else Unknown(reason="no adapter tells what it adds to its weight"),
    )


def draw_rates(config: Config, steps: int) -> list[float]:
    """The learning rates of the run's steps as Trainer's scheduler gives them, at most LONGEST_DRAWN of them."""
    from transformers import get_scheduler

    training = config.training
    drawn = min(steps, LONGEST_DRAWN)
    warmup = count_warmup(config, steps)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=training.learning_rate)
    options = training.arguments.get("lr_scheduler_kwargs")
    scheduler = get_scheduler(
        training.lr_scheduler_type,
        optimizer,
        num_warmup_steps=round(warmup * drawn / max(steps, 1)),
        num_training_steps=drawn,
        scheduler_specific_kwargs=options if isinstance(options, dict) else None,
    )
    rates = []
    for _ in range(drawn):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return rates


@contextmanager
def _moved(signs: Mapping[nn.Parameter, torch.Tensor], *, by: float) -> Iterator[None]:
    """Every weight `by` further down its gradient, inside the block."""
    before = {parameter: parameter.detach().clone() for parameter in signs}
    for parameter, sign in signs.items():
        parameter.data.sub_(by * sign.to(parameter.dtype))
    try:
        yield
    finally:
        for parameter, value in before.items():
            parameter.data.copy_(value)


def _read(inner: nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
    was_training = inner.training
    inner.eval()
    with torch.no_grad():
        logits = read_logits(inner(**batch))
    inner.train(was_training)
    if logits is None:
        raise LookupError("forward returned no logits")
    return logits.float()


def _weigh(inner: nn.Module) -> list[float]:
    """Of each adapter, what it adds to its weight, as a share of that weight's norm."""
    shares = []
    for module in inner.modules():
        add, base = getattr(module, "get_delta_weight", None), getattr(module, "base_layer", None)
        weight = getattr(base, "weight", None)
        if not callable(add) or not isinstance(weight, torch.Tensor) or not weight.is_floating_point():
            continue
        for name in module.active_adapters:  # type: ignore[union-attr]
            if name in module.lora_A:  # type: ignore[operator]
                with torch.no_grad():
                    shares.append(float(add(name).float().norm() / weight.float().norm().clamp(min=1e-6)))
    return [share for share in shares if share]
