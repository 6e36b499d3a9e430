"""The tokenizer has no token for characters of the training texts.

## What it does
Encodes the training texts and each of their characters, and looks for those that become the unknown token or vanish, and
are missing when the text is decoded again.

## Why it matters
The label of such a character is the unknown token. The model learns to write that token, and no text it writes can hold the
character: the error rate has a floor that no training lowers.

## Example
```python
tokenizer.encode("5 €", add_special_tokens=False)       # [57, 3]: the euro sign is <unk>
```

## Use instead
Add the characters to the tokenizer, give the model rows for them, and train these rows:
```python
processor.tokenizer.add_tokens(["€"])
model.resize_token_embeddings(len(processor.tokenizer))
lora_config = LoraConfig(..., modules_to_save=["embed_tokens", "lm_head"])
```
Or write the texts without them, the same in training and in scoring.

## References
- huggingface/transformers#25099, clovaai/donut#229.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

MOST_SHOWN = 20

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="PRC009",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="the tokenizer can write every character of the training texts",
    law="labels are writable",
    needs=("collator",),
    explains=("wrong_target",),
    keys=("data.train_path",),
)


def excuse(facts: Facts) -> str:
    unwritable = known(facts.collator).unwritable
    return unwritable.reason if isinstance(unwritable, Unknown) else ""


def examine(facts: Facts) -> Iterator[Finding]:
    found = known(facts.collator).unwritable
    if found is None or isinstance(found, Unknown):
        return
    shown = " ".join(found.characters[:MOST_SHOWN])
    more = f" and {len(found.characters) - MOST_SHOWN} more" if len(found.characters) > MOST_SHOWN else ""
    become = f"become {found.unknown_token}" if found.unknown_token else "are dropped"
    yield DIAGNOSIS.finding(
        f"The tokenizer has no token for {shown}{more}: in {found.rows} of {found.looked_at} training texts they "
        f"{become}; expected a token for each.",
        evidence=tuple(f"{character} (U+{ord(character):04X})" for character in found.characters[:10]),
        fix="Add the characters to the tokenizer, resize the embeddings and train the new rows, or write the texts "
        "without them.",
        snippet=f"processor.tokenizer.add_tokens({list(found.characters[:MOST_SHOWN])!r})\n"
        "model.resize_token_embeddings(len(processor.tokenizer))",
    )
