"""Which attention implementations the card and the model can have together."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

from preflight_ocr.harness.facts import AttentionTry, Device, Raised, Unknown
from preflight_ocr.harness.training.redirects import redirect_cuda
from preflight_ocr.probes.accelerator.card import Card
from preflight_ocr.probes.accelerator.moving import choose_part, make_batch, move
from preflight_ocr.probes.accelerator.precision import Recipe, measure_difference, read_plain_logits
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.tracing import attempt

FLASH = "flash_attention_2"
FLASH_CAPABILITY = (8, 0)


def list_attention(device: Device) -> tuple[str, ...]:
    """Eager and sdpa everywhere; flash where its package is installed and the card is new enough for it."""
    major, _, minor = device.capability.partition(".")
    is_new = bool(major) and (int(major), int(minor or 0)) >= FLASH_CAPABILITY
    has_flash = is_new and importlib.util.find_spec("flash_attn") is not None
    return ("eager", "sdpa", *((FLASH,) if has_flash else ()))


def try_attention(
    name: str,
    parts: Assembly,
    recipe: Recipe,
    card: Card,
    expected: torch.Tensor | Unknown,
    folder: Path,
    *,
    is_used: bool,
) -> AttentionTry:
    """The model loaded with this implementation: its logits against `expected` [tokens, V]."""
    if name == FLASH and recipe.coarsest == torch.float32:
        reason = Unknown(reason="flash attention takes float16 or bfloat16, and this run is in float32")
        return AttentionTry(name=name, is_used=is_used, ended=reason, difference=reason, tolerance=recipe.tolerance)

    def run() -> torch.Tensor | Raised:
        card.synchronize()  # raises where the card is lost
        # What the run will use is loaded as the run loads it: asked for by its name it may be refused, since a model of
        # two models says one name and has, where nobody asks, another in each of them.
        chosen = choose_part(parts, folder, dtype=recipe.weights, attention=None if is_used else name)
        with redirect_cuda():
            if chosen.loading is not None and parts.loading is None:
                return chosen.loading  # it was loaded with plain attention in place of this one
        batch = make_batch(chosen)
        chosen.bare.to(card.device)
        return read_plain_logits(chosen.bare, move(batch, card.device), recipe, card)

    logits: Any = attempt(run)
    return AttentionTry(
        name=name,
        is_used=is_used,
        ended=logits if isinstance(logits, Raised) else "ok",
        difference=measure_difference(logits, expected),
        tolerance=recipe.tolerance,
    )
