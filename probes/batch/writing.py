"""Whether the tokenizer can write the training texts at all: which characters it has no token for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from preflight_ocr.harness.facts import Raised, Unknown, Unwritable
from preflight_ocr.probes.workbench.tracing import attempt

MOST_TEXTS = 1000  # about a second


def find_unwritable(tokenizer: Any, texts: Sequence[str]) -> Unwritable | Unknown | None:
    """The characters of `texts` that become the unknown token, or none at all; None where every text can be written."""
    seen = attempt(lambda: _look(tokenizer, texts[:MOST_TEXTS]))
    return (
        Unknown(reason=f"encoding the texts raised {seen.type}: {seen.message}") if isinstance(seen, Raised) else seen
    )


def _look(tokenizer: Any, texts: Sequence[str]) -> Unwritable | None:
    unknown, name = getattr(tokenizer, "unk_token_id", None), str(getattr(tokenizer, "unk_token", None))

    def encode(text: str) -> list[int]:
        found: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return found

    characters = [c for c in dict.fromkeys("".join(texts)) if not c.isspace() and c.isprintable()]
    alone = {c for c in characters if unknown in encode(c) or encode(f"a{c}") == encode("a")}
    lost = {}
    for text in texts:
        # A character by itself may be written otherwise than in its text, where a mark is joined to its letter.
        if alone.isdisjoint(text) or name in text:
            continue
        ids = encode(text)
        written = tokenizer.decode(ids, skip_special_tokens=True)
        gone = [c for c in alone if c in text and c not in written]
        if gone:
            lost[text] = gone
    if not lost:
        return None
    gone = list(dict.fromkeys(c for found in lost.values() for c in found))
    return Unwritable(
        characters=tuple(sorted(gone)),
        rows=sum(text in lost for text in texts),
        looked_at=len(texts),
        unknown_token=name if unknown is not None else "",
    )
