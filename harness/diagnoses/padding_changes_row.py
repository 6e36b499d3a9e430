"""Padding a row changes what the model answers to it.

## What it does
Takes the shortest row of a batch by itself, without padding, and compares its logits with those it has in the batch. Only in
float32, where rounding cannot be the difference.

## Why it matters
A row is then learnt as something else with every neighbour it happens to get. At inference, alone or in another batch, the
model meets a row it was not trained on. It happens where the attention mask does not arrive, where attention kernels take
none, and where positions are counted from the padding.

## Example
```python
model.forward(..., attention_mask=None)     # a patched attention that takes no mask
```

## Use instead
Hand the attention mask through to every layer, and count positions from the first real token:
```python
position_ids = attention_mask.cumsum(-1) - 1
```

## References
- transformers documentation, "Padding and truncation".
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD014",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="padding a row leaves its logits as they are",
    needs=("forward.behaviour.padding_changes",),
    explains=("departing_cache",),  # generation's cached steps follow the same mask
)


def examine(facts: Facts) -> Iterator[Finding]:
    forward = known(facts.forward)
    if not known(known(forward.behaviour).padding_changes):
        return
    yield DIAGNOSIS.finding(
        f"{forward.model_class} gives the shortest row of a batch other logits than the same row alone; expected "
        "the same.",
        evidence=("the same row, once padded in a batch and once alone, in float32",),
        fix="Follow the attention mask from the batch to the attention of each layer, and the positions with it.",
        snippet="position_ids = (attention_mask.cumsum(-1) - 1).clamp(min=0)",
    )
