"""The merged model answers otherwise than the model with its adapter.

## What it does
Merges the trained adapter into the weights and compares the logits with those before.

## Why it matters
A merged model is what is deployed. Where an adapter sits on weights that are shared by two places, merging changes
the other place too; where modules are trained in full beside the adapter, they can be left behind. The evaluation
before merging then says nothing about what is served.

## Example
```python
merged = model.merge_and_unload()        # the adapter was on lm_head, which is tied to the embeddings
```

## Use instead
Leave tied weights out of `target_modules`, or deploy the adapter unmerged:
```python
model = PeftModel.from_pretrained(base, adapter_dir)
```

## References
- huggingface/transformers#45127
- PEFT, "Model merging"
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="SAV002",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="the merged model answers like the model with its adapter",
    law="saved equals trained",
    needs=("learning.merged_equals_unmerged",),
    keys=("subject.peft",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    if known(known(facts.learning).merged_equals_unmerged):
        return
    tied = () if isinstance(facts.adapter, Unknown) else facts.adapter.on_tied_weights
    yield DIAGNOSIS.finding(
        "After merge_and_unload the logits differ from those with the adapter. They should be equal up to rounding.",
        evidence=tuple(f"adapter on tied weights: {name}" for name in tied),
        fix="Deploy the adapter unmerged, or leave the modules out that do not merge (tied weights, modules_to_save).",
        snippet="model = PeftModel.from_pretrained(base_model, adapter_dir)",
    )
