"""Runaway repetition: a model that writes the same few tokens again and again until it may write no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import transformers

SPAN = 192
"""So many tokens at the end that are one unit over and over are a runaway: more than any row of dots on a page."""

LONGEST_UNIT = 48  # tokens; SPAN holds it four times
_RHYTHM = 8  # steps between two looks, so that looking costs nothing beside a step


def find_runaway(tokens: Sequence[int]) -> int | None:
    """How many tokens are left where one unit is kept of the repetition that `tokens` end in; None without one."""
    tail = list(tokens[-SPAN:])
    if len(tail) < SPAN:
        return None
    unit = next((size for size in range(1, LONGEST_UNIT + 1) if tail[size:] == tail[:-size]), None)
    if unit is None:
        return None
    start = len(tokens) - SPAN
    while start > 0 and tokens[start - 1] == tokens[start - 1 + unit]:
        start -= 1
    return start + unit


class StopRunaway(transformers.StoppingCriteria):  # type: ignore[misc]
    """Ends each row of `generate` for itself once it repeats itself. `begin` is the length of what was given to it."""

    def __init__(self, begin: int) -> None:
        self.begin = begin

    def __call__(self, input_ids: torch.Tensor, scores: Any, **given: Any) -> torch.Tensor:
        """bool [B], true where a row is to end."""
        rows, length = input_ids.shape
        if length - self.begin < SPAN or (length - self.begin) % _RHYTHM:
            return torch.zeros(rows, dtype=torch.bool, device=input_ids.device)
        written = input_ids[:, self.begin :].tolist()
        return torch.tensor([find_runaway(row) is not None for row in written], device=input_ids.device)
