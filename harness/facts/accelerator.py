"""What was seen on an accelerator."""

from __future__ import annotations

from typing import Literal

from preflight_ocr.harness.facts.base import Fact, Raised, Site, Unknown


class Device(Fact, kw_only=True):
    """What an accelerator answered; Unknown wherever there is none. `refused` is why torch cannot use one that is there."""

    name: str
    capability: str
    arch_list: tuple[str, ...]
    refused: Raised | None


class Stray(Fact, kw_only=True):
    """A tensor that is not on the card after model and batch were moved as Trainer moves them."""

    owner: Literal["batch", "weight", "buffer"]
    path: str
    device: str
    shape: tuple[int, ...]


class Precision(Fact, kw_only=True):
    """One way of training on the card: one optimizer step, and the logits beside those of the CPU in float32.

    `difference` is |card - CPU| / |CPU| over all logits, of which `tolerance` is allowed. `not_finite` names the loss, the
    logits or the first trained weights whose gradients are not.
    """

    name: str
    is_configured: bool
    step: Raised | Literal["ok"]
    loss: float | Unknown
    difference: float | Unknown
    tolerance: float
    not_finite: tuple[str, ...]


class Wait(Fact, kw_only=True):
    """A line in one forward at which the processor waited for the card, and how often."""

    site: Site
    times: int


class AttentionTry(Fact, kw_only=True):
    """One attention implementation on the card; `is_used` where the run will have it."""

    name: str
    is_used: bool
    ended: Raised | Literal["ok"] | Unknown
    difference: float | Unknown
    tolerance: float


class LoaderTry(Fact, kw_only=True):
    """A DataLoader over the user's rows; `strays` are the entries of its batches that did not come to the card."""

    workers: int
    is_pinned: bool
    ended: Raised | Literal["ok"]
    strays: tuple[str, ...]


class Accelerator(Fact, kw_only=True):
    """Training on the card. `precisions` begins with the one the YAML asks for; `held` is in bytes, one for each step."""

    strays: tuple[Stray, ...]
    precisions: tuple[Precision, ...]
    waits: tuple[Wait, ...] | Unknown
    held: tuple[int, ...] | Unknown
    attention: tuple[AttentionTry, ...] | Unknown
    generation: Raised | Literal["ok"] | Unknown
    loaders: tuple[LoaderTry, ...]
