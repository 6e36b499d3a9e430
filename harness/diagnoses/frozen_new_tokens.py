"""Tokens that the targets use have output rows that are all alike and that nothing trains.

## What it does
Takes the rows of the output head for the tokens of the training texts, and looks for rows that are all but equal to another
(cosine above 0.999; trained rows stay below 0.7), in a head that the adapter leaves frozen.

## Why it matters
`resize_token_embeddings` gives every new token a row drawn closely around the mean of the others. LoRA on attention cannot
tell such rows apart: whatever the hidden state, the new tokens get the same logit. The loss falls on the old tokens, and
the new ones are guessed.

## Example
```python
processor.tokenizer.add_tokens(["<td>", "</td>", "<tr>", "</tr>"])
model.resize_token_embeddings(len(processor.tokenizer))
lora_config = LoraConfig(target_modules=["q_proj", "v_proj"])
```

## Use instead
```python
lora_config = LoraConfig(target_modules=["q_proj", "v_proj"], modules_to_save=["embed_tokens", "lm_head"])
```
or, to train the new rows only, `trainable_token_indices` in peft 0.15 or later.

## References
- artidoro/qlora#214, axolotl-ai-cloud/axolotl#1570, huggingface/peft#2898.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRA008",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the tokens of the targets have output rows that can be told apart, or that are trained",
    law="saved equals trained",
    needs=("learning.alike_rows",),
    keys=("lora.modules_to_save", "subject.model", "subject.peft"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    rows = known(known(facts.learning).alike_rows)
    if rows.trained or not rows.ids:
        return
    yield DIAGNOSIS.finding(
        f"{len(rows.ids)} of {count(rows.used, 'token')} that the training texts use have output rows that are all but "
        "equal, and nothing trains them; expected rows of their own, or trained ones.",
        evidence=show_some(f"token {i}: {token!r}" for i, token in zip(rows.ids, rows.tokens, strict=False)),
        fix="Train and save the embeddings and the head with the adapter, or the rows of the new tokens alone.",
        snippet="lora:\n  modules_to_save: [embed_tokens, lm_head]",
    )
