"""Prompts of a batch are padded on the right before generation.

## What it does
Looks at the padding side of the tokenizer that prediction will use, for a model that generates from its prompt.

## Why it matters
A decoder-only model continues from the last position. With padding on the right that is a pad token for every row but
the longest: they produce garbage, the score drops with the batch size, and nothing is raised.

## Example
```python
tokenizer.padding_side = "right"
model.generate(**tokenizer(prompts, padding=True, return_tensors="pt"))
```

## Use instead
```python
tokenizer.padding_side = "left"
```

## References
- transformers, "Text generation": wrong padding side
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis import Diagnosis
from harness.evidence import known
from harness.facts import Facts, Unknown
from harness.findings import Basis, Finding, Severity

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="PRC005",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="prompts are padded on the left for generation",
    needs=("forward.has_generate",),
)


def applies(facts: Facts) -> bool:
    # An encoder-decoder model reads its prompt in the encoder, where the side does not matter.
    if isinstance(facts.forward, Unknown) or isinstance(facts.forward.signature, Unknown):
        return True
    return "decoder_input_ids" not in facts.forward.signature.names


def examine(facts: Facts) -> Iterator[Finding]:
    forward = known(facts.forward)
    if not known(forward.has_generate) or forward.padding_side != "right":
        return
    alone = not isinstance(facts.configuration, Unknown) and facts.configuration.batch_size == 1
    yield DIAGNOSIS.finding(
        "The tokenizer that prediction uses pads on the right, and this model continues from the last position: every "
        "prompt but the longest of a batch would be continued from padding.",
        evidence=(f"padding side: {forward.padding_side}", f"model: {forward.model_class}, decoder-only"),
        fix="Pad on the left for generation.",
        snippet='tokenizer.padding_side = "left"',
        severity=Severity.MINOR if alone else Severity.MAJOR,
    )
