"""Whether the model writes anything: two tokens by its own `generate`, from prompts as our collator builds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch

from preflight_ocr.harness.facts import Raised, Unknown
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.tracing import attempt

TOKENS = 2  # the first comes from the prompt alone, the second is the first to use the cache


def look_at_generation(
    parts: Assembly, move: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda prompts: prompts
) -> Raised | Literal["ok"] | Unknown:
    """How `generate` of the bare model ends. `move` brings the prompts to where the model is."""
    if parts.reference is None:
        return Unknown(reason=f"{parts.no_reference}, and none of its prompts")
    limits: dict[str, Any] = {"max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "do_sample": False}
    prompts = move(parts.reference.prompts([dict(row) for row in parts.sample[:2]]))

    def write() -> None:
        with torch.no_grad():
            parts.bare.generate(**prompts, **limits, pad_token_id=parts.tokenizer.pad_token_id)

    ended = attempt(write)
    return "ok" if ended is None else ended
