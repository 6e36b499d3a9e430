"""The user's code merges the adapter into packed weights.

## What it does
Looks for calls of `merge_and_unload` and `merge_adapter` in the user's own parts, where the model's weights are packed,
and merges the trained adapter here to see what that changes.

## Why it matters
Merged weights are packed again, and 4 bits have 16 values for each block of 64 numbers. What the adapter learnt is often
smaller than the distance between two of them, and is rounded away. The evaluation before merging says nothing of that.

## Example
```python
model = get_peft_model(load_in_4_bits(), lora)
...
model.merge_and_unload().save_pretrained("merged")
```

## Use instead
Load the base model in half precision, then merge:
```python
base = AutoModelForImageTextToText.from_pretrained(base_model, dtype=torch.bfloat16)
PeftModel.from_pretrained(base, adapter_dir).merge_and_unload().save_pretrained("merged")
```

## References
- PEFT: "Merge lora module to 4-bit linear may get different generations due to rounding errors"
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="SAV005",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="no adapter is merged into packed weights",
    needs=("adapter.quantised", "adapter.merges", "learning.merge_loss"),
    where="the model has packed weights",
    keys=("subject.trainer", "subject.peft"),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.adapter, Unknown) or facts.adapter.quantised is not None


def examine(facts: Facts) -> Iterator[Finding]:
    adapter = known(facts.adapter)
    found, merges = known(adapter.quantised), known(adapter.merges)
    if found is None or not merges:
        return
    loss = known(known(facts.learning).merge_loss)
    yield DIAGNOSIS.finding(
        f"The adapter is merged into weights packed as {', '.join(found.formats)}. That changed the logits by {loss:.0%} of "
        "what the adapter itself had changed them by, after a few steps here; expected nothing.",
        places=merges,
        fix="Save the adapter. To merge it, load the base model in half precision first.",
        snippet="base = AutoModelForImageTextToText.from_pretrained(base_model, dtype=torch.bfloat16)\n"
        "PeftModel.from_pretrained(base, adapter_dir).merge_and_unload()",
    )
