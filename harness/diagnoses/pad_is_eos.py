"""Padding and end of text are one token, and masking the one masks the other.

## What it does
Where the tokenizer's pad and end token have the same id, looks whether the end of each text is still trained on.

## Why it matters
`labels[input_ids == pad] = -100` also hits the one end token that should teach the model to stop. The loss looks
fine; generation runs on until its limit.

## Example
```python
tokenizer.pad_token = tokenizer.eos_token
labels[input_ids == tokenizer.pad_token_id] = -100
```

## Use instead
```python
labels[attention_mask == 0] = -100
```

## References
- unslothai/unsloth#1008
- huggingface/trl#734
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Row
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count_part, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="PRC004",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="masking the padding leaves the end of each text trained",
    needs=("tokenizer", "collator.batch.rows"),
    explains=("unsupervised_eos",),
    keys=("subject.collator",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    tokenizer = known(facts.tokenizer)
    if tokenizer.pad is None or tokenizer.eos is None or tokenizer.pad.id is None:
        return
    rows = known(known(known(facts.collator).batch).rows)
    endless = [n for n, row in enumerate(rows) if _learns_text_without_end(row)]
    if tokenizer.pad.id != tokenizer.eos.id or not endless:
        return
    # A row that stops with its text had no end to be masked: that is another defect.
    if any(rows[n].roles.endswith("t") for n in endless):
        return
    yield DIAGNOSIS.finding(
        f"Pad and end of text are the same token, {tokenizer.eos.content!r} (id {tokenizer.eos.id}), and "
        f"{count_part(len(endless), len(rows), 'learns its text', 'learn their text')} without the end: masking by "
        "id masked both.",
        evidence=show_some(line for n in endless for line in _show(n, rows[n])),
        fix="Mask the padding by the attention mask in place of the token id.",
        snippet="labels[attention_mask == 0] = -100  # in place of labels[input_ids == tokenizer.pad_token_id] = -100",
    )


def _learns_text_without_end(row: Row) -> bool:
    return not row.truncated and row.count("t", row.trained) > 0 and row.count("e", row.trained) == 0


def _show(number: int, row: Row) -> tuple[str, str]:
    return f"row {number} tokens:  {row.roles[-40:]}", f"row {number} trained: {row.trained[-40:]}"
