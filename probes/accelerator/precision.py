"""One optimizer step in each of the ways in which a model is trained, and how far its logits are from the CPU's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import msgspec
import torch
from torch import nn

from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Precision, Raised, Unknown
from preflight_ocr.probes.accelerator.card import Card
from preflight_ocr.probes.accelerator.moving import Placed
from preflight_ocr.probes.learning.learning import list_adapters
from preflight_ocr.probes.workbench.calls import Batch, read_logits, read_loss
from preflight_ocr.probes.workbench.tracing import attempt

RATE = 1e-4
HALVINGS = 16  # a scaler begins at 65,536 and halves until the gradients fit into float16; so does a healthy run
TOLERANCES = {torch.float32: 0.02, torch.float16: 0.05, torch.bfloat16: 0.2}
"""How far the logits may be from those of the CPU in float32, |difference| / |logits|, by the coarsest dtype in use.

cuDNN computes convolutions of float32 with 10 bits unless told otherwise; a wrong kernel or a lost input is off by about 1.
"""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """The dtype of the weights, the dtype of autocast or None, and whether the loss is scaled."""

    weights: str
    autocast: str | None = None
    is_scaled: bool = False

    @property
    def name(self) -> str:
        """As in `float32 weights, float16 autocast, scaler`."""
        cast = f", {self.autocast} autocast" if self.autocast else ""
        return f"{self.weights} weights{cast}{', scaler' if self.is_scaled else ''}"

    @property
    def coarsest(self) -> torch.dtype:
        """The dtype that loses most."""
        names = (self.weights, self.autocast)
        used = [getattr(torch, name) for name in names if name is not None]
        coarsest: torch.dtype = max(used, key=lambda dtype: TOLERANCES.get(dtype, 0.0))
        return coarsest

    @property
    def tolerance(self) -> float:
        """How far the logits may be from the CPU's."""
        return TOLERANCES.get(self.coarsest, max(TOLERANCES.values()))

    def cast(self, device: torch.device) -> AbstractContextManager[Any]:
        """The autocast that the recipe asks for."""
        dtype = None if self.autocast is None else getattr(torch, self.autocast)
        return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


RECIPES = (
    Recipe(weights="float32"),
    Recipe(weights="float32", autocast="float16", is_scaled=True),
    Recipe(weights="bfloat16"),
    Recipe(weights="float32", autocast="bfloat16"),
)


def read_recipe(config: Config, model: nn.Module) -> Recipe:
    """What the configuration asks for, with the dtype that most of the weights really have."""
    counts: Counter[str] = Counter()
    for parameter in model.parameters():
        if parameter.is_floating_point():
            counts[str(parameter.dtype).removeprefix("torch.")] += parameter.numel()
    training = config.training
    autocast = "float16" if training.fp16 else "bfloat16" if training.bf16 else None
    return Recipe(weights=counts.most_common(1)[0][0], autocast=autocast, is_scaled=training.fp16)


def try_precision(
    placed: Placed, recipe: Recipe, card: Card, expected: torch.Tensor | Unknown, *, is_configured: bool
) -> Precision:
    """The model's logits against `expected` [tokens, V], then one optimizer step."""
    logits: Any = attempt(lambda: read_plain_logits(placed.inner, placed.batch, recipe, card))
    stepped: Any = attempt(lambda: take_step(placed, recipe, card))
    loss, bad = (Unknown(reason="the step raised"), []) if isinstance(stepped, Raised) else stepped
    if isinstance(logits, torch.Tensor) and not bool(logits.isfinite().all()):
        bad = ["logits", *bad]
    return Precision(
        name=recipe.name,
        is_configured=is_configured,
        step=stepped if isinstance(stepped, Raised) else "ok",
        loss=loss,
        not_finite=tuple(bad),
        difference=measure_difference(logits, expected),
        tolerance=recipe.tolerance,
    )


def take_step(placed: Placed, recipe: Recipe, card: Card) -> tuple[float | Unknown, list[str]]:
    """One optimizer step; (the loss, what was not finite: "loss" or the first names of trained weights)."""
    model = placed.model
    model.train()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(trained.values(), lr=RATE)
    scaler = torch.amp.GradScaler(card.device.type, enabled=recipe.is_scaled)
    value, bad = math.nan, [""]
    for _ in range(HALVINGS if recipe.is_scaled else 1):
        optimizer.zero_grad(set_to_none=True)
        with recipe.cast(card.device):
            loss = read_loss(model(**placed.batch))
        if not isinstance(loss, torch.Tensor):
            raise TypeError(f"forward returned no loss tensor but {type(loss).__name__}")
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.unscale_(optimizer)
        value = float(loss.detach())
        bad = [n for n, p in trained.items() if p.grad is not None and not bool(p.grad.isfinite().all())]
        scaler.step(optimizer)
        scaler.update()
        if not bad or not math.isfinite(value):
            break
    optimizer.zero_grad(set_to_none=True)
    card.synchronize()
    if not math.isfinite(value):
        return Unknown(reason=f"the loss is {value}"), ["loss", *bad[:4]]
    return value, bad[:5]


def read_plain_logits(inner: nn.Module, batch: Batch, recipe: Recipe, card: Card) -> torch.Tensor:
    """The logits of the model without its adapter, on the CPU in float32: [tokens, V], padding left out."""
    inner.eval()
    with _without_adapters(inner), torch.no_grad(), recipe.cast(card.device):
        logits = read_logits(inner(**batch))
    if logits is None:
        raise TypeError("forward returned no logits")
    mask = batch.get("attention_mask")
    is_along = isinstance(mask, torch.Tensor) and mask.shape == logits.shape[:2]
    # Beside padding there is nothing to agree on: attention over nothing is whatever a kernel makes of it.
    chosen = logits[mask.bool()] if isinstance(mask, torch.Tensor) and is_along else logits.flatten(0, -2)
    return chosen.float().cpu()


def measure_difference(seen: Any, expected: torch.Tensor | Unknown) -> float | Unknown:
    """|seen - expected| / |expected| over all logits."""
    if isinstance(expected, Unknown):
        return expected
    if isinstance(seen, Raised):
        return Unknown(reason=f"forward raised {seen.type}: {seen.message}")
    if seen.shape != expected.shape:
        shapes = f"{tuple(seen.shape)} and {tuple(expected.shape)}"
        return Unknown(reason=f"the logits of card and CPU cannot be compared: {shapes}")
    value = float((seen - expected).norm() / expected.norm())
    return value if math.isfinite(value) else Unknown(reason="the logits are not finite")


@contextmanager
def _without_adapters(inner: nn.Module) -> Iterator[None]:
    """The model as it was before the adapter: some ways of initialising one change the outputs at once."""
    adapted: Mapping[str, Any] = list_adapters(inner)
    for module in adapted.values():
        module.enable_adapters(False)
    try:
        yield
    finally:
        for module in adapted.values():
            module.enable_adapters(True)
