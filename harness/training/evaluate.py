"""How well a model reads: the character error rate on rows it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import torch

from preflight_ocr.harness.training.collate import Collator
from preflight_ocr.harness.training.data import Rows
from preflight_ocr.harness.training.predict import predict
from preflight_ocr.harness.training.scores import score_row


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """`cer` = edited characters / true characters (above 1 when the model writes too much); pairs are (true, read)."""

    cer: float
    rows: int
    pairs: tuple[tuple[str, str], ...]


def evaluate(
    model: torch.nn.Module, collator: Collator, rows: Rows, *, limit: int | None = None, batch_size: int = 8
) -> Score:
    """Read the first `limit` rows and compare. Decoding stops at twice the longest true text, which bounds the time."""
    chosen = [rows[index] for index in range(min(len(rows), limit or len(rows)))]
    true = [row["text"] for row in chosen]
    longest = max(len(collator.tokenizer.encode(text, add_special_tokens=False)) for text in true)
    read = predict(model, collator, chosen, batch_size=batch_size, max_new_tokens=2 * longest + 1)
    return Score(cer=measure_cer(true, read), rows=len(chosen), pairs=tuple(zip(true, read, strict=True)))


def measure_cer(true: Sequence[str], read: Sequence[str]) -> float:
    """Edits over true characters, all rows together; what is read where nothing was written counts as insertions."""
    scores = [score_row(text, seen) for text, seen in zip(true, read, strict=True)]
    return sum(score.edits for score in scores) / max(1, sum(score.characters for score in scores))
