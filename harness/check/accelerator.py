"""Where a check meets the card: a child of its own that may see it, and the reason where there is nothing to meet.

The other children come from one warm process that hides every card, because a process that has talked to CUDA cannot be
forked. This one is a new interpreter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from preflight_ocr.harness.check.answers import read_answer
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Accelerator, Device, Facts, Unknown
from preflight_ocr.harness.isolation import Ending, Limits, Returned, Sandbox

VISIBLE = "CUDA_VISIBLE_DEVICES"
NO_CARD = "no accelerator on this machine"
PRELOAD = ("torch", "transformers.modeling_utils", "peft", "accelerate")


def find_obstacle(facts: Facts) -> Unknown | None:
    """Why there is no card to go to; None where the driver lists one that this process may use."""
    environment = facts.environment
    if isinstance(environment, Unknown):
        return environment
    if isinstance(environment.cards, Unknown):
        return environment.cards
    if not environment.cards:
        return Unknown(reason=NO_CARD)
    hidden = os.environ.get(VISIBLE)
    if hidden is not None and choose_card(hidden) is None:
        return Unknown(reason=f"{VISIBLE} is {hidden!r}, which hides every accelerator of this machine")
    return None


def choose_card(visible: str | None) -> str | None:
    """The first card of a `CUDA_VISIBLE_DEVICES`, which a child sees alone; None where that hides all of them."""
    if visible is None:
        return "0"
    first = visible.partition(",")[0].strip()
    return None if first in ("", "-1") else first


def open_card_sandbox(
    limits: Limits, *, device: str = "cuda", extra: Mapping[str, str] | None = None, named: Sequence[str] = ()
) -> Sandbox:
    """A sandbox whose children are new interpreters that see one card, or none where `device` is "cpu".

    With several cards in sight Trainer would split each batch over them.
    """
    card = "" if device == "cpu" else choose_card(os.environ.get(VISIBLE)) or ""
    environment = {VISIBLE: card, "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    return Sandbox(
        start_method="spawn", preload=PRELOAD, limits=limits, environment={**environment, **(extra or {})}, named=named
    )


def look_at_device(
    config: Config,
    facts: Facts,
    folder: Path,
    *,
    trust: bool,
    limits: Limits,
    tell: Callable[[Ending], Unknown],
    device: str = "cuda",
) -> tuple[Facts, float]:
    """The facts with what the card answered, and the seconds it took.

    `tell` says how a child ended that did not return. With `device` "cpu" everything runs without a card, and what only one
    can measure is Unknown.
    """
    place = folder / "accelerator"
    place.mkdir(exist_ok=True)
    arguments = {"config_path": str(config.source), "trust": trust, "folder": str(place), "device": device}
    # Errors on a card are told later than they happen, unless each launch is waited for.
    named = config.subject.environment
    with open_card_sandbox(limits, device=device, extra={"CUDA_LAUNCH_BLOCKING": "1"}, named=named) as sandbox:
        ended = sandbox.run("preflight_ocr.probes.accelerator:observe", arguments)
    if not isinstance(ended, Returned):
        why = tell(ended)
        return msgspec.structs.replace(facts, device=why, accelerator=why), ended.seconds
    return _take_over(facts, ended.value), ended.seconds


def _take_over(facts: Facts, value: Any) -> Facts:
    device = read_answer(value, Device, "device")
    if isinstance(device, Unknown):
        return msgspec.structs.replace(facts, device=device, accelerator=device)
    if value.get("accelerator") is not None:
        accelerator: Accelerator | Unknown = read_answer(value, Accelerator, "accelerator")
    else:
        said = device.refused.message if device.refused else "it did not say why"
        accelerator = Unknown(reason=f"torch cannot use the card: {said}")
        cards = () if isinstance(facts.environment, Unknown) else facts.environment.cards
        if cards and not isinstance(cards, Unknown):
            device = msgspec.structs.replace(device, name=cards[0].name, capability=cards[0].capability)
    return msgspec.structs.replace(facts, device=device, accelerator=accelerator)
