"""Evaluation keeps the logits of all rows in host memory.

## What it does
Weighs the arrays that the run's own `compute_metrics` is handed for two rows, and counts them up to all rows of the
evaluation. It is reported where that is more than the model itself; where it is more than this machine has, it is a BLOCKER.

## Why it matters
Rows x length x vocabulary x 4 bytes: 2,000 pages of 1,000 tokens and a vocabulary of 150,000 are 1.2 TB. The process is
killed in its first evaluation, without a message.

## Example
```python
Trainer(model, args, eval_dataset=rows, compute_metrics=count_errors)
```

## Use instead
```python
def choose(logits, labels):
    return (logits[0] if isinstance(logits, tuple) else logits).argmax(-1)


Trainer(model, args, eval_dataset=rows, compute_metrics=count_errors, preprocess_logits_for_metrics=choose)
```

## References
- huggingface/transformers#15466
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, spell_bytes

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="MEM020",
    severity=Severity.MINOR,
    basis=Basis.RAN,
    contract="what an evaluation keeps for its metrics fits into host memory",
    law="rehearsal",
    needs=("rehearsal.kept.all_rows",),
    keys=("subject.trainer", "data.val_path"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    kept = known(known(facts.rehearsal).kept)
    all_rows = known(kept.all_rows)
    needed = kept.bytes * all_rows // max(kept.rows, 1)
    if needed <= kept.weights:
        return
    too_much = needed > kept.host
    yield DIAGNOSIS.finding(
        f"Evaluation keeps {spell_bytes(needed)} of outputs in host memory until its metrics are computed: "
        f"{count(all_rows, 'row')} of {spell_bytes(kept.bytes // max(kept.rows, 1))}. "
        + (f"This machine has {spell_bytes(kept.host)}." if too_much else f"The model is {spell_bytes(kept.weights)}."),
        severity=Severity.BLOCKER if too_much else None,
        fix="Keep the chosen ids and not the logits: give Trainer a preprocess_logits_for_metrics.",
        snippet="def choose(logits, labels):\n    return (logits[0] if isinstance(logits, tuple) else logits).argmax(-1)\n\n"
        "Trainer(..., preprocess_logits_for_metrics=choose)",
    )
