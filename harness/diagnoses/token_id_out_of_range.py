"""A token id for which the model has no embedding.

## What it does
Compares the highest token id in the batch with the rows of the embedding matrix. Without a run, it compares the ids
of the special tokens with the vocabulary in `config.json`.

## Why it matters
A token that was added to the tokenizer and not to the model has an id past the end of the matrix. On a CPU that is
"index out of range"; on a card it is a device-side assert at some later line, and the process must be restarted.

## Example
```python
tokenizer.add_tokens(["<image>"])            # id 151665; the matrix has 151665 rows, 0 to 151664
```

## Use instead
```python
model.resize_token_embeddings(len(tokenizer))
```

## References
- transformers, "Tokenizer": adding tokens and resize_token_embeddings
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="PRC002",
    severity=Severity.BLOCKER,
    basis=Basis.READ,
    contract="every token id has an embedding",
    needs=("tokenizer", "configuration"),
    explains=("failing_forward", "failing_batch", "failing_adapter", "failing_step"),
)


def excuse(facts: Facts) -> str:
    unknown = facts.unknown_on("repository.vocabulary")
    return unknown.reason if unknown and _measure(facts)[2] is Basis.READ else ""


def examine(facts: Facts) -> Iterator[Finding]:
    tokenizer = known(facts.tokenizer)
    special = [t for t in (tokenizer.bos, tokenizer.eos, tokenizer.pad, tokenizer.image) if t and t.id is not None]
    rows, highest, basis = _measure(facts)
    if basis is Basis.READ and "model" in known(facts.configuration).replaced_parts:
        return  # the user's own loader may enlarge the embeddings
    if basis is Basis.READ:
        rows = known(known(facts.repository).vocabulary)
        highest = max((t.id for t in special if t.id is not None), default=0)
    if not rows or highest < rows:
        return
    beyond = [f"{token.content!r} has id {token.id}" for token in special if (token.id or 0) >= rows]
    finding = DIAGNOSIS.finding(
        f"Token id {highest} is used, and the model has embeddings for ids 0 to {rows - 1} only.",
        evidence=(f"embedding rows: {rows}", *beyond),
        fix="Enlarge the embeddings after loading, or use a token that the model already has.",
        snippet="model.resize_token_embeddings(len(tokenizer))",
    )
    yield msgspec.structs.replace(finding, basis=basis)


def _measure(facts: Facts) -> tuple[int, int, Basis]:
    """(embedding rows, highest id in the batch) and RAN as the run saw them; READ where it did not."""
    forward = facts.forward
    if isinstance(forward, Unknown):
        return 0, 0, Basis.READ
    if isinstance(forward.embedding_rows, Unknown) or isinstance(forward.highest_token_id, Unknown):
        return 0, 0, Basis.READ
    return forward.embedding_rows, forward.highest_token_id, Basis.RAN
