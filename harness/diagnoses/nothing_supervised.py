"""A row has no label at all.

## What it does
Looks for rows in which every label is -100. A row whose target was cut off behind its image by truncation is named
there.

## Why it matters
The loss of such a batch is 0 or nan and no gradient flows. The run ends with "Training complete!", and the adapter
is what it was at the start.

## Example
The response template that masks the prompt is not found in the text, so that everything is masked.

## Use instead
Find the start of the target by counting the tokens of the prompt, and print one row's labels before training.

## References
- unslothai/unsloth#2095, modelscope/ms-swift#2122.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import cuts_image, get_rows, pair_rows
from preflight_ocr.harness.judging.wording import count_part, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LBL005",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="every row has labels to learn from",
    needs=("collator.batch.rows",),
    explains=("worse_than_guessing",),
    keys=("subject.collator",),
    entries=("labels",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    batch, rows = known(collator.batch), get_rows(collator.batch)
    cut = {number for number, mine, theirs in pair_rows(collator) if cuts_image(mine, theirs)}
    # A row that asks for nothing (an empty text) is a matter of the data.
    empty = [n for n, row in enumerate(rows) if "1" not in row.trained and n not in cut and row.target_text.strip()]
    if not empty:
        return
    absent = "labels" not in batch.keys
    yield DIAGNOSIS.finding(
        "The batch has no `labels`."
        if absent
        else f"{count_part(len(empty), len(rows), 'has', 'have')} no label but -100; expected the target text to be "
        "trained on.",
        fix="Return labels: -100 in front of the target, the target's ids, its EOS.",
        snippet="labels = [-100] * len(prompt_ids) + target_ids + [eos_id]",
        evidence=show_some(f"row {n}: 0 of {len(rows[n].roles)} labels trained on" for n in empty),
        severity=Severity.BLOCKER if len(empty) == len(rows) else Severity.MAJOR,
    )
