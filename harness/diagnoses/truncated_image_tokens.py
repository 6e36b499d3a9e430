"""Truncation cuts into the image placeholders.

## What it does
Looks for rows that end inside their placeholders, or lost them with their head, where the uncut row has more.

## Why it matters
The image has more features than the row has places. Some models raise, the others place the upper part of the page
only and train on text that can no longer be seen. What comes after the image, the target included, is gone as well.

## Example
`max_seq_length: 512` with a page that takes 903 image tokens.

## Use instead
Truncate the text and never the image; set `data.max_seq_length` to at least the smallest safe length.

## References
- huggingface/trl#4289, hiyouga/LLaMA-Factory#5968, #6559, #8329, #9313, QwenLM/Qwen3-VL#556.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import OURS, Collator, Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import count_real, cuts_image, pair_rows
from preflight_ocr.harness.judging.wording import count, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL005",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="no row is cut inside its image placeholders",
    needs=("collator.batch.rows", "collator.reference.rows"),
    explains=("failing_batch", "leaking_image", "padding_changes_row", "worse_than_guessing"),
    keys=("data.max_seq_length", "subject.collator"),
    entries=("input_ids",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    cut = [(number, mine, theirs) for number, mine, theirs in pair_rows(collator) if cuts_image(mine, theirs)]
    if not cut:
        return
    safe = collator.safe_length
    known_length = not isinstance(safe, Unknown) and safe > 0
    yield DIAGNOSIS.finding(
        f"{count(len(cut), 'row is cut inside its', 'rows are cut inside their')} image tokens"
        + (f"; the smallest safe length for this data is {safe} tokens." if known_length else "."),
        fix=_word_fix(collator, str(safe) if known_length else ""),
        snippet=_write_limit(collator, str(safe)) if known_length else "",
        evidence=show_some(
            f"row {number}: {mine.count('i')} of {theirs.count('i')} placeholders left in {count_real(mine)} tokens"
            for number, mine, theirs in cut
        ),
    )


def _word_fix(collator: Collator, length: str) -> str:
    where = "data.max_seq_length" if collator.owner == OURS else f"the length at which {collator.owner} cuts"
    return (
        f"Set {where} to {length} or more, or cut the text only." if length else f"Raise {where}, or cut the text only."
    )


def _write_limit(collator: Collator, length: str) -> str:
    """The line to write; data.max_seq_length is read by our own collator alone."""
    ours = f"data: {{max_seq_length: {length}}}"
    return ours if collator.owner == OURS else f"max_length = {length}  # in place of the length you cut at"
