"""The model's forward fails on the user's batch, though it accepts one of our own.

## What it does
Calls forward with the batch of the user's collator and quotes the exception, together with the arguments that had
to be replaced before forward went on. Where the difference has a name (a missing argument, a wrong rank, a float
mask), that cause is reported instead.

## Why it matters
Training stops at the first step. The same rows through a collator that builds what the model expects pass, so the
collator is the place to look.

## Example
`The expanded size of the tensor (40) must match the existing size (38)`.

## Use instead
Compare the named arguments with the expected form in the evidence.

## References
- chain-06 to chain-10 in the project's list of real failures: one exception after the other, all from one collator.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Raised, Unknown
from preflight_ocr.harness.judging.deltas import list_unaccepted_keys, show_delta
from preflight_ocr.harness.judging.failures import excuse_closed, show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD010",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="forward accepts the collator's batch",
    needs=("forward", "collator.batch"),
    keys=("subject.collator",),
)

_OWNERS = ("failing_forward", "missing_placeholders")


def excuse(facts: Facts) -> str:
    if closed := excuse_closed(known(facts.forward).given):
        return closed
    forward = known(facts.forward)
    return forward.given.reason if isinstance(forward.given, Unknown) else ""


def examine(facts: Facts) -> Iterator[Finding]:
    forward, collator = known(facts.forward), known(facts.collator)
    if not isinstance(forward.given, Raised):
        return
    replaced = [r.argument for r in forward.repairs]
    deltas = () if isinstance(collator.deltas, Unknown) else collator.deltas
    yield DIAGNOSIS.finding(
        f"forward ended with {show_raised(forward.given)} on the collator's batch; expected a loss.",
        places=list_places(forward.given),
        # Without a reference only a refused key tells that the batch and not the model is at fault.
        owners=() if forward.reference == "ok" or list_unaccepted_keys(facts) else _OWNERS,
        fix=f"Build {', '.join(f'`{a}`' for a in replaced)} as the evidence says."
        if replaced
        else "Compare the collator's batch with the evidence.",
        evidence=show_some(
            [
                *(f"with `{r.argument}` replaced, forward got past {show_raised(r.raised)}" for r in forward.repairs),
                *(show_delta(d) for d in deltas),
            ]
        ),
    )
