"""A row has an image and no image placeholder in its text.

## What it does
Counts image placeholders per row and compares them with the same rows built as the model expects; of a model that nobody
has declared, a row with an image needs at least one. Rows with a few placeholders too many or too few are another defect.

## Why it matters
Image features replace placeholders. Without one the image goes nowhere: some models raise (`tokens: 0, features
169`), others train on text alone.

## Example
The prompt is `Free OCR.` where the model was trained on `<image>\\nFree OCR.`.

## Use instead
Put the image token into every prompt with an image and expand it to one token per feature.

## References
- chain-14, web-02, dots-03 in the project's list of real failures; unslothai/unsloth#2251.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import get_rows, list_bare_rows
from preflight_ocr.harness.judging.wording import count_part, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL002",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="every row with an image has image placeholders",
    needs=("collator.batch.rows",),
    where="pictures take places among the tokens",
    explains=("failing_batch", "leaking_image", "padding_changes_row", "worse_than_guessing"),
    keys=("subject.collator",),
    entries=("input_ids",),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.collator, Unknown) or facts.collator.placeholder is not None


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    bare = list_bare_rows(facts)
    if not bare:
        return
    token = collator.placeholder
    features = next((row.count("i") for row in get_rows(collator.reference) if row.count("i")), 0)
    yield DIAGNOSIS.finding(
        f"{count_part(len(bare), len(get_rows(collator.batch)), 'has', 'have')} an image and no `{token}` in "
        "input_ids.",
        fix=f"Put `{token}` into the prompt and expand it to one token per image feature.",
        snippet=f'text = "{token}" * {features} + prompt  # the picture\'s tokens in front of the words, behind a BOS'
        if features
        else f'text = "{token}" + prompt',
        evidence=show_some(f"row {number}: 0 placeholders, expected {count}" for number, count in bare),
    )
