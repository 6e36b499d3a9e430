"""The labels of an encoder-decoder begin with the token that its decoder starts with anyway.

## What it does
Compares the first supervised token of each row with the token that forward puts in front of the labels when it shifts them.
A start that the generation configuration forces as the first token is meant to be there.

## Why it matters
The decoder's input is made from the labels: the start token in front, the last one cut off. Where the labels begin with it
too, the model learns to write the start token first, and every text behind two of them. At inference one stands there: the
model spends its first step on a second start, and whoever cuts off only the first reads it in every text.

## Example
```python
labels = tokenizer("<s>" + text + "</s>", add_special_tokens=False).input_ids      # decoder_start_token_id is <s>
```

## Use instead
```python
labels = tokenizer(text + tokenizer.eos_token, add_special_tokens=False).input_ids
```

## References
- huggingface/transformers#22768, the Donut tutorial.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count_part, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LBL009",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="labels do not begin with the token that the decoder starts with",
    law="ids agree",
    needs=("forward.agreement",),
    where="the model has an encoder and a decoder",
    explains=("wrong_target", "training_differs_from_generation"),
    keys=("subject.collator",),
    entries=("labels",),
)


def applies(facts: Facts) -> bool:
    forward = facts.forward
    return isinstance(forward, Unknown) or isinstance(forward.agreement, Unknown) or bool(forward.agreement.starts)


def examine(facts: Facts) -> Iterator[Finding]:
    agreement = known(known(facts.forward).agreement)
    again = agreement.started_again
    if not again:
        return
    yield DIAGNOSIS.finding(
        f"The labels of {count_part(len(again), len(agreement.first), 'begins', 'begin')} with token "
        f"{agreement.starts[0]}, which the decoder starts with anyway; expected the text's first token.",
        evidence=show_some(f"row {row}: labels begin with token {agreement.starts[0]}" for row in again),
        fix="Take the start token off the labels: forward puts it in front of them itself.",
        snippet="if (labels[:, 0] == model.config.decoder_start_token_id).all():\n    labels = labels[:, 1:]",
    )
