"""Everything that is looked at on a card, in the order in which one thing needs another."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch

from preflight_ocr.harness.facts import Accelerator, AttentionTry, LoaderTry, Precision, Raised, Unknown, Wait
from preflight_ocr.harness.training.redirects import redirect_cuda
from preflight_ocr.probes.accelerator.attention import list_attention, try_attention
from preflight_ocr.probes.accelerator.card import NOT_MEASURED, Card, CpuCard
from preflight_ocr.probes.accelerator.moving import Placed, choose_part, find_strays, make_batch, move, place
from preflight_ocr.probes.accelerator.precision import (
    RECIPES,
    Recipe,
    read_plain_logits,
    read_recipe,
    take_step,
    try_precision,
)
from preflight_ocr.probes.workbench.assembly import Assembly, Collate, Row
from preflight_ocr.probes.workbench.calls import read_loss
from preflight_ocr.probes.workbench.generation import TOKENS
from preflight_ocr.probes.workbench.tracing import attempt

STEPS = 20
WORKERS = 2  # where the YAML asks for none
OWN_LOADER = "subject.model chooses it by itself"


def look_at_accelerator(parts: Assembly, card: Card, folder: Path, *, steps: int = STEPS) -> Accelerator:
    """The project's own way of training first, since an error on a card can spoil all that follows.

    Raises ValueError where the model does not even run on the CPU.
    """
    with redirect_cuda():  # a loader of the user's may move the model onto the card by itself; it is needed here first
        recipe, expected = read_recipe(parts.config, parts.bare), read_expected(parts, folder)
    with card.reach():
        placed = place(parts, card)
        configured = try_precision(placed, recipe, card, expected, is_configured=True)
        works = configured.step == "ok"
        why = Unknown(reason="a training step does not run on the card")
        waits = count_waits(placed, recipe, card) if works else why
        held = repeat(placed, recipe, card, steps) if works else why
        generation = write_text(parts, placed.inner, card) if works else why
        strays = placed.strays
        del placed
        card.release()
        rest = try_recipes(parts, recipe, card, expected, folder)
        attention = try_implementations(parts, recipe, card, expected, folder)
        loaders = try_loaders(parts, card)
    return Accelerator(
        strays=strays,
        precisions=(configured, *rest),
        waits=waits,
        held=held,
        attention=attention,
        generation=generation,
        loaders=loaders,
    )


def read_expected(parts: Assembly, folder: Path) -> torch.Tensor | Unknown:
    """The bare model's logits on the CPU: in float32, or in its own dtype where its code can do no other.

    Call it where code that asks for "cuda" is sent to the CPU.
    """
    ended: Any = None
    for compute in (_compute_in_float32, _compute_as_it_is):
        ended = attempt(partial(compute, parts, folder))
        if isinstance(ended, torch.Tensor):
            return ended
    return Unknown(reason=f"the CPU gives no logits to compare with: {ended.type}: {ended.message}")


def _compute_in_float32(parts: Assembly, folder: Path) -> torch.Tensor:
    if parts.config.subject.model is None:
        chosen = choose_part(parts, folder, dtype="float32")
        return read_plain_logits(chosen.bare, make_batch(chosen), RECIPES[0], CpuCard())
    # A loader of the user's own need not listen to a dtype.
    batch = {name: _widen(value) for name, value in make_batch(parts).items()}
    return read_plain_logits(copy.deepcopy(parts.bare).float(), batch, RECIPES[0], CpuCard())


def _compute_as_it_is(parts: Assembly, folder: Path) -> torch.Tensor:
    return read_plain_logits(parts.bare, make_batch(parts), RECIPES[0], CpuCard())


def _widen(value: Any) -> Any:
    """Floating numbers as float32, in lists and tuples too."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.is_floating_point() else value
    return type(value)(map(_widen, value)) if type(value) in (list, tuple) else value


def try_recipes(
    parts: Assembly, configured: Recipe, card: Card, expected: torch.Tensor | Unknown, folder: Path
) -> tuple[Precision, ...]:
    """The other ways of training. A user's own loader chooses the dtype of the weights, so they stay as they are."""
    own = parts.config.subject.model is not None
    tried = []
    for recipe in RECIPES:
        if recipe == configured or (own and recipe.weights != configured.weights):
            continue
        tried.append(_try_recipe(parts, recipe, card, expected, folder))
        card.release()
    return tuple(tried)


def _try_recipe(
    parts: Assembly, recipe: Recipe, card: Card, expected: torch.Tensor | Unknown, folder: Path
) -> Precision:
    def run() -> Precision:
        card.synchronize()  # raises where the card is lost
        placed = place(choose_part(parts, folder, dtype=recipe.weights), card)
        return try_precision(placed, recipe, card, expected, is_configured=False)

    ended = attempt(run)
    if not isinstance(ended, Raised):
        return ended
    reason = Unknown(reason=f"{ended.type}: {ended.message}")
    return Precision(
        name=recipe.name,
        is_configured=False,
        step=ended,
        loss=reason,
        difference=reason,
        tolerance=recipe.tolerance,
        not_finite=(),
    )


def count_waits(placed: Placed, recipe: Recipe, card: Card) -> tuple[Wait, ...] | Unknown:
    """The places in one forward at which the processor waits for the card; the first forward also fills caches."""

    def forward() -> None:
        placed.model.train()
        with recipe.cast(card.device):
            read_loss(placed.model(**placed.batch))

    def run() -> tuple[Wait, ...]:
        forward()
        card.synchronize()
        with card.watch_waits() as found:
            forward()
        return tuple(Wait(site=site, times=times) for site, times in found.most_common())

    ended = attempt(run)
    return Unknown(reason=f"forward raised {ended.type}: {ended.message}") if isinstance(ended, Raised) else ended


def repeat(placed: Placed, recipe: Recipe, card: Card, steps: int) -> tuple[int, ...] | Unknown:
    """The bytes that tensors hold after each of so many steps on one batch."""
    held: list[int] = []

    def run() -> None:
        for _ in range(steps):
            take_step(placed, recipe, card)
            card.release()
            if (allocated := card.read_allocated()) is not None:
                held.append(allocated)

    ended = attempt(run)
    if isinstance(ended, Raised):
        return Unknown(reason=f"step {len(held) + 1} raised {ended.type}: {ended.message}")
    return tuple(held) if held else Unknown(reason=NOT_MEASURED)


def write_text(parts: Assembly, model: Any, card: Card) -> Raised | Literal["ok"] | Unknown:
    """A few tokens by the trained model's own `generate`, from prompts as our collator builds them."""
    if parts.reference is None:
        return Unknown(reason=f"{parts.no_reference}, and none of its prompts")
    if not callable(getattr(model, "generate", None)):
        return Unknown(reason="the model has no generate")
    prompts = parts.reference.prompts([dict(row) for row in parts.sample[:2]])
    limits: dict[str, Any] = {"max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "do_sample": False}

    def run() -> None:
        model.eval()
        with torch.no_grad():
            model.generate(**move(prompts, card.device), **limits, pad_token_id=parts.tokenizer.pad_token_id)
        card.synchronize()

    ended = attempt(run)
    return ended if isinstance(ended, Raised) else "ok"


def try_implementations(
    parts: Assembly, recipe: Recipe, card: Card, expected: torch.Tensor | Unknown, folder: Path
) -> tuple[AttentionTry, ...] | Unknown:
    """Each attention implementation that the card can have."""
    if parts.config.subject.model is not None:
        return Unknown(reason=OWN_LOADER)
    used = getattr(getattr(parts.bare, "config", None), "_attn_implementation", None)
    tried = []
    for name in list_attention(card.describe()):
        tried.append(try_attention(name, parts, recipe, card, expected, folder, is_used=name == used))
        card.release()
    return tuple(tried)


def try_loaders(parts: Assembly, card: Card) -> tuple[LoaderTry, ...]:
    """A DataLoader as Trainer makes it: without workers, with those the YAML asks for, and with a few where it asks none."""
    asked = parts.config.training.dataloader_num_workers
    return tuple(try_loader(parts, card, workers) for workers in dict.fromkeys((0, asked or WORKERS)))


def try_loader(parts: Assembly, card: Card, workers: int) -> LoaderTry:
    """Three batches through a DataLoader, pinned where there is a card, and moved onto it."""
    from torch.utils.data import DataLoader

    rows: Any = [dict(row) for row in parts.sample] * 3
    collate: Any = _Telling(parts.collate)
    strays: set[str] = set()

    def run() -> Raised | None:
        loader = DataLoader(
            rows,
            batch_size=len(parts.sample),
            num_workers=workers,
            collate_fn=collate,
            pin_memory=card.can_pin,
            timeout=60 if workers else 0,
        )
        for batch in islice(loader, 3):
            if isinstance(batch, Raised):
                return batch
            strays.update(stray.path for stray in find_strays(move(batch, card.device), card.device))
        card.synchronize()
        return None

    ended = attempt(run)
    return LoaderTry(
        workers=workers,
        is_pinned=card.can_pin,
        ended=ended if isinstance(ended, Raised) else "ok",
        strays=tuple(sorted(strays)),
    )


class _Telling:
    """A collator whose exception comes out of a worker with its line, and not as the text of a traceback."""

    def __init__(self, collate: Collate) -> None:
        self.collate = collate

    def __call__(self, rows: Sequence[Row]) -> Mapping[str, Any] | Raised:
        return attempt(lambda: self.collate(rows))
