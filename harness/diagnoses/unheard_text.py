"""Changing the text changes nothing in the model's answer.

## What it does
Replaces one token of the text in each row and compares the logits that come after it.

## Why it matters
A model that does not hear its text cannot learn to write it: the loss is a number about nothing. It happens when
visual features overwrite the whole sequence or the attention mask hides the text.

## Example
A placement mask of shape `[B, 1]` on DeepSeek-OCR: every position holds an image feature, the text none.

## Use instead
Mark the image tokens and only these in the placement mask, and attend to every token that is not padding.

## References
- chain-13 in the project's list of real failures: loss 15.7 with ln(vocabulary) = 11.77, reported as success.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD007",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="changing the text changes the logits after it",
    needs=("forward.behaviour",),
    explains=("flat_loss", "worse_than_guessing"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    reaches = known(known(facts.forward).behaviour).text_reaches
    deaf = [row for row, heard in enumerate(reaches) if not heard]
    if not deaf:
        return
    yield DIAGNOSIS.finding(
        f"In {len(deaf)} of {count(len(reaches), 'row')} another text gives exactly the same logits; expected "
        "different ones.",
        fix="Print both masks beside input_ids: text must be attended to and not marked as an image.",
        evidence=show_some(f"row {row}: the text does not reach the logits" for row in deaf),
    )
