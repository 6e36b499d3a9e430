"""Changing the image changes nothing in the model's answer.

## What it does
Replaces the page of one row at a time and compares that row's logits. A row without an image is left out, and so is
a row whose placeholders or placement mask are wrong: that is a cause with a name of its own.

## Why it matters
The run trains a language model on text alone. It prints a falling loss and saves an adapter; the adapter has never
seen a page.

## Example
`pixel_values` misspelt for a forward with `**kwargs`; an all-zero global view in the first row of a DeepSeek-OCR
batch.

## Use instead
Follow the image from the batch to the vision tower: every argument must arrive, and none may be blank.

## References
- dots-05 in the project's list of real failures: the vision tower is called 0 times.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.exchange import is_order
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import get_rows, is_placed
from preflight_ocr.harness.judging.wording import count, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD008",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="changing the image changes the row's logits",
    needs=("forward.behaviour",),
)

_OWNERS = ("missing_placeholders", "shifted_mask", "hidden_tokens", "truncated_image_tokens", "broadcast_mask")


def excuse(facts: Facts) -> str:
    reaches = known(known(facts.forward).behaviour).image_reaches
    return "" if any(r is not None for r in reaches) else "no row of the batch has an image"


def examine(facts: Facts) -> Iterator[Finding]:
    reaches = known(known(facts.forward).behaviour).image_reaches
    rows = () if isinstance(facts.collator, Unknown) else get_rows(facts.collator.batch)

    def is_owned(number: int) -> bool:
        """Misplaced or hidden placeholders explain by themselves that the image is not seen."""
        if number >= len(rows):
            return False
        row = rows[number]
        return not is_placed(row) or row.count("i", row.attended) < row.count("i")

    # A row that stands elsewhere, text and page together, hears of its own page there.
    every = [] if is_order(facts) else [number for number, seen in enumerate(reaches) if seen is False]
    blind = [number for number in every if not is_owned(number)]
    owners = () if blind else _OWNERS
    blind = blind or every
    if not blind:
        return
    yield DIAGNOSIS.finding(
        f"In {len(blind)} of {count(len(reaches), 'row')} another page gives exactly the same logits; expected "
        "different ones.",
        fix="Check that the pixels are not blank and reach the vision tower; print what the inner forward receives.",
        evidence=show_some(f"row {number}: the image does not reach the logits" for number in blind),
        owners=owners,
    )
