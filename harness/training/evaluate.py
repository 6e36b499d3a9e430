"""How well a model reads: the character error rate on rows it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import torch

from preflight_ocr.harness.launched import find_place
from preflight_ocr.harness.training import spreading
from preflight_ocr.harness.training.collate import Collator
from preflight_ocr.harness.training.data import Rows
from preflight_ocr.harness.training.predict import WINDOW, predict
from preflight_ocr.harness.training.scores import score_row


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """`cer` = edited characters / true characters (above 1 when the model writes too much); pairs are (true, read)."""

    cer: float
    rows: int
    pairs: tuple[tuple[str, str], ...]


def evaluate(
    model: torch.nn.Module, collator: Collator, rows: Rows, *, limit: int | None = None, batch_size: int = 8
) -> Score:
    """Read the first `limit` rows and compare. Decoding stops at twice the longest true text, which bounds the time.

    Each of several processes that train together reads its part, and each returns the score of all.
    """
    chosen = [rows[index] for index in range(min(len(rows), limit or len(rows)))]
    true = [row["text"] for row in chosen]
    longest = max(len(collator.tokenizer.encode(text, add_special_tokens=False)) for text in true)
    read = read_together(model, collator, chosen, batch_size=batch_size, max_new_tokens=2 * longest + 1)
    return Score(cer=measure_cer(true, read), rows=len(chosen), pairs=tuple(zip(true, read, strict=True)))


def read_together(
    model: torch.nn.Module,
    collator: Collator,
    rows: Sequence[Mapping[str, Any]],
    *,
    batch_size: int,
    max_new_tokens: int,
) -> list[str]:
    """What the model reads in each row, in order. Each process of a group reads a part, and gets what all have read."""
    place, count = find_place(), len(rows)
    joined = spreading.is_joined()
    rank, size = (place.rank, place.size) if joined else (0, 1)
    mine = spreading.deal(count, window=WINDOW * batch_size, rank=rank, size=size)
    found = {
        index: text
        for span in mine
        for index, text in zip(
            span,
            predict(
                model,
                collator,
                [rows[index] for index in span],
                batch_size=batch_size,
                max_new_tokens=max_new_tokens,
            ),
            strict=True,
        )
    }
    everything: dict[int, str] = {}
    for part in spreading.exchange(found):
        everything |= part
    return [everything[index] for index in range(count)]


def measure_cer(true: Sequence[str], read: Sequence[str]) -> float:
    """Edits over true characters, all rows together; what is read where nothing was written counts as insertions."""
    scores = [score_row(text, seen) for text, seen in zip(true, read, strict=True)]
    return sum(score.edits for score in scores) / max(1, sum(score.characters for score in scores))
