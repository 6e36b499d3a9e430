"""The model's forward fails even on a batch that is built as this model expects.

## What it does
Calls forward with a batch of our own collator, made from the user's rows, and quotes the exception. For a model
that nobody has declared there is no such batch; then the user's own batch is what is quoted.

## Why it matters
The collator is not the cause, so no change to it can help: the model's code, the installed versions, the weights'
dtypes or a wrapper are. Training cannot start.

## Example
`missing 1 required positional argument: 'position_embeddings'` from remote code written for an older transformers.

## Use instead
Follow the quoted line of code. Where the code is the model's own, install the transformers release it was written
for.

## References
- deepseek-ai/DeepSeek-OCR#7, #182, #302: remote code under newer releases of transformers.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Raised, Unknown
from preflight_ocr.harness.judging.deltas import list_unaccepted_keys
from preflight_ocr.harness.judging.failures import excuse_closed, show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import list_bare_rows
from preflight_ocr.harness.judging.wording import known, list_places

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD006",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="forward accepts a batch built as the model expects",
    needs=("forward",),
    explains=("failing_batch", "failing_step"),
)


def excuse(facts: Facts) -> str:
    forward = known(facts.forward)
    if closed := excuse_closed(_find(facts)):
        return closed
    return forward.reference.reason if isinstance(forward.reference, Unknown) and _find(facts) is None else ""


def examine(facts: Facts) -> Iterator[Finding]:
    raised = _find(facts)
    if raised is None:
        return
    yield DIAGNOSIS.finding(
        f"forward ended with {show_raised(raised)}; expected a loss.",
        places=list_places(raised),
        fix="Follow the quoted line: the batch is not the cause."
        if isinstance(known(facts.forward).reference, Raised)
        else "Follow the quoted line: the model or the batch built for it is the cause.",
    )


def _find(facts: Facts) -> Raised | None:
    forward = known(facts.forward)
    if isinstance(forward.reference, Raised):
        return forward.reference
    # Of a model that nobody declares, a batch with a fault that has a name of its own says nothing about the model.
    named = list_unaccepted_keys(facts) or list_bare_rows(facts)
    unjudged = isinstance(forward.reference, Unknown) and not named
    return forward.given if unjudged and isinstance(forward.given, Raised) else None
