"""Columns that Trainer removes before the collator can read them.

## What it does
With `remove_unused_columns: true`, compares the rows' columns with the names that the model's forward takes.

## Why it matters
Trainer deletes every column that forward does not name. A collator that opens the image only when the batch is built
needs `image_path` and `text`; it is handed empty dicts and fails, or returns a batch without anything to learn.

## Example
```yaml
training: {remove_unused_columns: true}    # rows are {image_path, text}; forward takes input_ids, images, ...
```

## Use instead
```yaml
training: {remove_unused_columns: false}
```

## References
- huggingface/transformers#19599
- huggingface/transformers#27535
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="CFG005",
    severity=Severity.BLOCKER,
    basis=Basis.READ,
    contract="Trainer leaves the collator the columns it reads",
    needs=("configuration", "dataset", "repository.forward"),
    where="training.remove_unused_columns is on",
    explains=("failing_step",),
    keys=("training.remove_unused_columns",),
)

_ALWAYS_KEPT = {"label", "label_ids", "labels"}


def applies(facts: Facts) -> bool:
    return isinstance(facts.configuration, Unknown) or facts.configuration.remove_unused_columns


def examine(facts: Facts) -> Iterator[Finding]:
    signature = known(known(facts.repository).forward)
    columns = dict.fromkeys(column for split in known(facts.dataset).splits for column in split.columns)
    kept = _ALWAYS_KEPT.union(signature.names)
    removed = [column for column in columns if column not in kept]
    if not removed:
        return
    yield DIAGNOSIS.finding(
        f"remove_unused_columns is on and forward does not take {', '.join(f'`{c}`' for c in removed)}: Trainer "
        "removes these columns, and the collator gets rows without them. They should reach the collator.",
        evidence=(f"columns of the rows: {', '.join(columns)}", f"forward takes: {', '.join(signature.names)}"),
        fix="Switch the removal off.",
        snippet="training:\n  remove_unused_columns: false",
    )
