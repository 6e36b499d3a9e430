"""Prompts of a batch are padded on the right before generation.

## What it does
Looks for calls of `generate` in your own code, and at the padding side of the tokenizer it will use, for a model that
generates from its prompt. `run-training` itself always pads prompts on the left.

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

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="PRC005",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="prompts are padded on the left for generation",
    needs=("forward.has_generate", "subject"),
    where="the model is decoder-only",
)


def applies(facts: Facts) -> bool:
    # An encoder-decoder model reads its prompt in the encoder, where the side does not matter.
    if isinstance(facts.forward, Unknown) or isinstance(facts.forward.signature, Unknown):
        return True
    return "decoder_input_ids" not in facts.forward.signature.names


def examine(facts: Facts) -> Iterator[Finding]:
    forward = known(facts.forward)
    subject = known(facts.subject)
    if not known(forward.has_generate) or forward.padding_side != "right":
        return
    if not subject.generate_calls or subject.left_padding:
        return
    alone = not isinstance(facts.configuration, Unknown) and facts.configuration.batch_size == 1
    yield DIAGNOSIS.finding(
        "The tokenizer that your call of `generate` uses pads on the right, and this model continues from the last "
        "position: every prompt but the longest of a batch would be continued from padding.",
        evidence=(
            f"padding side: {forward.padding_side}",
            f"model: {forward.model_class}, decoder-only",
            *show_some(f"{site.file}:{site.line}: {site.code}" for site in subject.generate_calls),
        ),
        places=list_places(*subject.generate_calls),
        fix="Pad on the left for generation.",
        snippet='tokenizer.padding_side = "left"',
        severity=Severity.MINOR if alone else Severity.MAJOR,
    )
