"""The collator raised on real rows.

## What it does
Calls the collator with the first rows of the training data and quotes the exception. Where its cause is known by
itself (a processor that is a tokenizer, an unreadable page), that cause is reported instead.

## Why it matters
Training stops at the first step, and nothing that needs a batch could be looked at.

## Example
`You need to specify either `text` or `text_target`.` from a call with `images=`.

## Use instead
Run the collator by itself on two rows and follow the quoted line.

## References
- transformers documentation, data collators.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Raised
from preflight_ocr.harness.judging.failures import excuse_closed, show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL017",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the collator turns real rows into a batch",
    needs=("collator",),
    keys=("subject.collator",),
)


def excuse(facts: Facts) -> str:
    return excuse_closed(known(facts.collator).batch)


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    if not isinstance(collator.batch, Raised):
        return
    yield DIAGNOSIS.finding(
        f"{collator.owner} ended with {show_raised(collator.batch)}; expected a batch.",
        places=list_places(collator.batch),
        fix="Call the collator by itself on the first rows and follow the quoted line.",
    )
