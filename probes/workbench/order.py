"""Rows in the order in which the collator in use leaves them.

A collator may sort the rows of a batch, by the length of their texts for one. Whatever changes one row and asks which row of
the batch heard of it needs them in that order from the beginning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any, Protocol

import torch

from preflight_ocr.harness.facts import Raised
from preflight_ocr.harness.foreign.text import squeeze
from preflight_ocr.probes.workbench.batches import is_same
from preflight_ocr.probes.workbench.tracing import attempt

MOST_ORDERED = 4  # rows; more are left as they are


class Parts(Protocol):
    """What of an assembly is asked here."""

    @property
    def tokenizer(self) -> Any: ...

    @property
    def collate(self) -> Any: ...

    @property
    def is_encoder_decoder(self) -> bool: ...

    def seeded(self, collate: Any, rows: Sequence[Any]) -> Mapping[str, Any]:
        """A batch of these rows, with random numbers held still."""


def arrange(parts: Parts, rows: Sequence[Any], texts: Sequence[Sequence[str]]) -> tuple[Any, ...]:
    """The rows as the collator orders them, where it orders whole rows by something that lies in them; else as given.

    `texts` are those of which each row may ask one to be learnt. Rows are ordered by them only where the batch is the same
    to the bit, whichever of the two orders it was made from: a collator that moves texts and leaves pages is not followed.
    """
    if not 1 < len(rows) <= MOST_ORDERED:
        return tuple(rows)
    made = attempt(lambda: parts.seeded(parts.collate, rows))
    order = None if isinstance(made, Raised) else attempt(lambda: _find_order(parts, made, texts))
    if order is None or isinstance(order, Raised):
        return tuple(rows)
    arranged = tuple(rows[index] for index in order)
    again = attempt(lambda: parts.seeded(parts.collate, arranged))
    return arranged if not isinstance(again, Raised) and is_same(made, again) else tuple(rows)


def _find_order(parts: Parts, batch: Mapping[str, Any], texts: Sequence[Sequence[str]]) -> tuple[int, ...] | None:
    """Which row each sequence of the batch holds, where they were moved and only one order fits."""
    sequences = batch.get("labels" if parts.is_encoder_decoder else "input_ids")
    if not isinstance(sequences, torch.Tensor) or sequences.dim() != 2 or len(sequences) != len(texts):
        return None
    read = [squeeze(parts.tokenizer.decode([i for i in ids if i >= 0])) for ids in sequences.tolist()]
    # What several rows have in common tells none of them apart.
    own = [
        [
            text
            for text in map(squeeze, mine)
            if text and all(text not in map(squeeze, o) for o in texts if o is not mine)
        ]
        for mine in texts
    ]
    fits = [[any(text in line for text in mine) for line in read] for mine in own]
    found = [
        order for order in permutations(range(len(texts))) if all(fits[row][place] for place, row in enumerate(order))
    ]
    return found[0] if len(found) == 1 and found[0] != tuple(range(len(texts))) else None
