"""The vision tower is packed in 4 or 8 bits.

## What it does
Counts the layers with packed weights by part of the model.

## Why it matters
A page's small strokes are told apart by small differences of the features. A language model reads text that is there in
words; what the tower rounds away is gone. Towers are small beside the language model, so that packing them saves
little. transformers packs them unless a skip list names them.

## Example
```python
BitsAndBytesConfig(load_in_4bit=True)     # packs the tower too
```

## Use instead
```python
BitsAndBytesConfig(load_in_4bit=True, llm_int8_skip_modules=["model.visual", "lm_head"])
```

## References
- Unsloth, "Dynamic 4-bit quantization": vision models whose tower was packed describe pictures wrongly
- transformers documentation, "bitsandbytes": `llm_int8_skip_modules`
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DTY012",
    severity=Severity.MINOR,
    basis=Basis.RAN,
    contract="the vision tower is not quantised",
    needs=("adapter.quantised",),
    where="the model has packed weights",
    keys=("model.quantization.llm_int8_skip_modules", "subject.model"),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.adapter, Unknown) or facts.adapter.quantised is not None


def examine(facts: Facts) -> Iterator[Finding]:
    found = known(known(facts.adapter).quantised)
    packed = 0 if found is None else found.parts.get("vision", 0)
    if found is None or not packed:
        return
    kept = found.kept.get("vision", 0)
    yield DIAGNOSIS.finding(
        f"{packed} of the {count(packed + kept, 'linear layer')} in the vision tower {'are' if packed > 1 else 'is'} "
        f"packed as {', '.join(found.formats)}; expected none.",
        fix="Name the vision tower in the skip list, from the beginning of its modules' names, and the output head with it.",
        snippet=f"llm_int8_skip_modules: [{', '.join(filter(None, (found.tower, found.output)))}]",
    )
