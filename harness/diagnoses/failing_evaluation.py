"""The evaluation of the run fails, though its steps work.

## What it does
Evaluates two rows of the run's own evaluation set with its own `compute_metrics`, `preprocess_logits_for_metrics` and
collator, and quotes what was raised.

## Why it matters
Evaluation comes after hundreds of steps. The run dies there, and what it learnt since the last checkpoint is lost.

## Example
```python
def compute_metrics(prediction):
    texts = tokenizer.batch_decode(prediction.label_ids)   # OverflowError: labels hold -100
```

## Use instead
```python
    labels = numpy.where(prediction.label_ids == -100, tokenizer.pad_token_id, prediction.label_ids)
```

## References
- transformers, "Trainer": `compute_metrics`
- huggingface/transformers#24433
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Raised, Unknown
from preflight_ocr.harness.judging.failures import is_same_failure, list_before_the_run, list_read_owners, show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRN021",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="an evaluation with the run's own metrics ends",
    law="rehearsal",
    needs=("rehearsal",),
    keys=("subject.trainer", "data.val_path"),
)

_EARLIER = (
    "failing_collator", "failing_batch", "failing_forward", "missing_image_file", "unreadable_image", "malformed_row",
    "mixed_model_dtypes", "failing_dtype",
)  # fmt: skip

_EMPTY = re.compile(r"\bno rows\b|\bnon-empty\b|\bempty (list|sequence|batch)\b|list index out of range")


def examine(facts: Facts) -> Iterator[Finding]:
    raised = known(facts.rehearsal).evaluation
    if not isinstance(raised, Raised):
        return
    before = any(is_same_failure(raised, other) for other in list_before_the_run(facts))
    yield DIAGNOSIS.finding(
        f"Evaluating raised {show_raised(raised)}. A training step works, so that the run dies at its first evaluation.",
        places=list_places(raised),
        fix="Mend the quoted line. Labels hold -100 where nothing is learnt: replace it before they are decoded."
        if "-100" in raised.message or raised.type == "OverflowError"
        else "Mend the quoted line: it is reached in evaluation only, with the batches of the evaluation rows.",
        owners=_EARLIER if before else (*list_read_owners(facts, raised), *_list_emptied(raised)),
    )


def _list_emptied(raised: Raised) -> tuple[str, ...]:
    """A collator that leaves rows out ends a batch of which it leaves none."""
    return ("dropped_rows",) if _EMPTY.search(raised.message) else ()


def excuse(facts: Facts) -> str:
    stage = known(facts.rehearsal).evaluation
    return stage.reason if isinstance(stage, Unknown) else ""
