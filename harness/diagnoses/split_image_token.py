"""The image token is no token of the tokenizer and falls apart into letters.

## What it does
Looks the model's image token up in the tokenizer's files.

## Why it matters
Placeholders are found by their id. A `<image>` that is split into `<`, `image`, `>` leaves none: features have no
place to go, and the prompt holds three odd words.

## Example
```text
"<image>" -> ["<", "image", ">"]
```

## Use instead
Use the tokenizer files that belong to the model, or register the token and enlarge the embeddings:
```python
tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
model.resize_token_embeddings(len(tokenizer))
```

## References
- transformers, "Tokenizer": add_special_tokens
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="PRC003",
    severity=Severity.BLOCKER,
    basis=Basis.READ,
    contract="the image token is one token",
    needs=("tokenizer",),
    explains=("missing_placeholders", "placeholder_mismatch", "failing_collator"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    image = known(facts.tokenizer).image
    if image is None or image.id is not None:
        return
    yield DIAGNOSIS.finding(
        f"{image.content!r} is the model's image token, but the tokenizer has no such token and splits it. "
        "It should be one token with one id.",
        evidence=(f"image token: {image.content!r}", f"tokenizer class: {known(facts.tokenizer).declared_class}"),
        fix="Use the tokenizer files that belong to the model; else register the token and enlarge the embeddings.",
        snippet=f'tokenizer.add_special_tokens({{"additional_special_tokens": [{image.content!r}]}})\n'
        "model.resize_token_embeddings(len(tokenizer))",
    )
