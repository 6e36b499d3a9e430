"""The image token stands inside the text to be learned, and a collator of your own tokenises it.

## What it does
With a collator of your own, looks for the model's image token in the rows' texts. Preflight's collator treats it as
letters.

## Why it matters
Tokenised as usual, the letters `<image>` become the placeholder itself: one more than there are features. Forward
then raises, or shifts all features by one, for the batch that has this row.

## Example
```json
{"image_path": "pages/0007.png", "text": "see <image> on the left"}
```

## Use instead
Delete the token from the text, or tokenise targets with special tokens split into letters:
```python
tokenizer(text, add_special_tokens=False, split_special_tokens=True)
```

## References
- transformers, "Tokenizer": split_special_tokens
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_rows, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DAT008",
    severity=Severity.MAJOR,
    basis=Basis.READ,
    contract="no text to be learned contains the image token",
    needs=("configuration", "dataset"),
    where="the collator is your own",
    keys=("data.train_path", "data.val_path"),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.configuration, Unknown) or "collator" in facts.configuration.replaced_parts


def examine(facts: Facts) -> Iterator[Finding]:
    rows = show_rows(known(facts.dataset), "image token in text")
    if rows:
        yield DIAGNOSIS.finding(
            f"{count(len(rows), 'text contains', 'texts contain')} the model's image token, which your collator's "
            "tokenizer turns into a "
            "placeholder without an image.",
            evidence=show_some(rows),
            fix="Delete the token from these texts, or tokenise targets with special tokens split.",
            snippet="tokenizer(text, add_special_tokens=False, split_special_tokens=True)",
        )
