"""Targets end with a token that generation does not stop at.

## What it does
Holds the supervised labels of each row against the ids that end what the model writes: `eos_token_id` of its generation
configuration, which may be several, else of its configuration.

## Why it matters
The model learns to write the end, and whoever loads it does not stop there: every page is read to the length limit, with
text behind its end that belongs to no page. The loss shows nothing of it.

## Example
```python
labels = ids + [tokenizer.eos_token_id]     # 2; generation_config.json says "eos_token_id": 151645
```

## Use instead
End the targets with a token that the model's generation stops at, or save the other one with the model:
```python
model.generation_config.eos_token_id = [*stops, tokenizer.eos_token_id]
```

## References
- transformers documentation, `GenerationConfig.eos_token_id`.
- huggingface/trl#3034: chat models that go on after the end of their turn.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count_part, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LBL010",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="the labels hold a token that generation stops at",
    law="ids agree",
    needs=("forward.ends",),
    keys=("subject.collator", "subject.model"),
    entries=("labels",),
)

OWNERS = (
    "unsupervised_eos", "nothing_supervised", "wrong_target", "copied_labels", "misaligned_loss", "dropped_rows",
    "truncated_text", "truncated_image_tokens", "failing_batch", "packed_without_block_mask",
)  # fmt: skip
"""Diagnoses that see why there is no end at all."""


def examine(facts: Facts) -> Iterator[Finding]:
    ends = known(known(facts.forward).ends)
    if not ends.endless:
        return
    stops = ", ".join(f"`{text}` ({number})" for number, text in ends.stops)
    last = ", ".join(f"`{text}` ({number})" for number, text in ends.last)
    yield DIAGNOSIS.finding(
        f"The labels of {count_part(len(ends.endless), ends.rows, 'hold', 'hold')} no token that generation stops at. "
        f"It stops at {stops}; they end with {last}.",
        evidence=show_some(f"row {row}" for row in ends.endless),
        fix="End each target with a token that generation stops at, or add the one that is trained to "
        "generation_config.eos_token_id and save it with the model.",
        snippet=f"model.generation_config.eos_token_id = {[number for number, _ in (*ends.stops, *ends.last)]}",
        owners=OWNERS,
    )
