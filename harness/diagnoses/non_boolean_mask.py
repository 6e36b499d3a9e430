"""The mask that says where image features go is not boolean.

## What it does
Compares the dtype of the placement mask with that of a batch this model accepts.

## Why it matters
`masked_scatter_` takes boolean masks only: "masked_scatter_ only supports boolean masks, but got mask with dtype
Float". A mask made by `torch.zeros` or by arithmetic is float or int64.

## Example
```python
images_seq_mask = torch.zeros(batch, length)         # float32
```

## Use instead
```python
images_seq_mask = input_ids == image_token_id        # bool
```

## References
- PyTorch, "Tensor.masked_scatter_": mask is a BoolTensor
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.deltas import list_deltas, show_delta
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DTY003",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the placement mask is boolean",
    needs=("collator.deltas",),
    where="the model takes a placement mask",
    explains=("failing_batch", "failing_forward", "failing_adapter", "failing_step"),
    keys=("subject.collator",),
    entries=("placement_mask",),
)


def applies(facts: Facts) -> bool:
    roles = getattr(facts.collator, "roles", None)
    return roles is None or "placement_mask" in roles.values()


def examine(facts: Facts) -> Iterator[Finding]:
    wrong = list_deltas(known(facts.collator), ["placement_mask"], ["dtype"])
    if not wrong:
        return
    name = wrong[0].argument
    yield DIAGNOSIS.finding(
        f"`{name}` is {wrong[0].seen}; the model scatters image features by it and takes a boolean mask only.",
        evidence=show_some(show_delta(delta) for delta in wrong),
        fix="Make the mask boolean.",
        snippet=f'batch["{name}"] = batch["{name}"].bool()',
    )
