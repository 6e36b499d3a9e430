"""The collator returns fewer rows than it was given.

## What it does
Counts rows in and rows out, also of a batch in which one page does not exist: there an exception is right. Rows packed
into one long sequence are not dropped: their tokens are all there.

## Why it matters
A collator that catches exceptions and goes on loses the very rows that are hard: large pages, long texts, odd
files. The model is trained on the easy rest, the epoch is shorter than it says, and no message tells.

## Example
`try: batch.append(prepare(row))` / `except Exception: continue`

## Use instead
Let the exception through, or repair the data before training.

## References
- web-24 in the project's list of real failures: public notebooks.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import is_packed
from preflight_ocr.harness.judging.wording import known, list_places, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL012",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the collator returns every row it is given",
    needs=("collator.batch",),
    # Rows that moved up are compared with the wrong page, so what their images reach cannot be told.
    explains=("failing_batch", "leaking_image", "padding_changes_row", "unseen_image"),
    keys=("subject.collator",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    batch = known(collator.batch)
    if is_packed(batch):
        return
    if batch.rows_out != batch.rows_in:
        seen = f"The collator was given {batch.rows_in} rows and returned {batch.rows_out}."
        counted = f"rows in: {batch.rows_in}, rows out: {batch.rows_out}"
    elif not isinstance(collator.swallowed_rows, Unknown) and collator.swallowed_rows:
        seen = "The collator leaves a row out, without a word, when its page cannot be opened; expected an exception."
        counted = f"rows in: 2, one of them without its page, rows out: {2 - collator.swallowed_rows}"
    else:
        return
    swallowed = () if isinstance(facts.subject, Unknown) else facts.subject.swallowed_exceptions
    yield DIAGNOSIS.finding(
        seen,
        places=list_places(*swallowed),
        fix="Let the exception through instead of going on to the next row.",
        evidence=show_some(
            [counted, *(f"an exception is swallowed at {s.file}:{s.line}: {s.code}" for s in swallowed)]
        ),
    )
