"""A training step fails although forward works.

## What it does
Takes two optimizer steps as they will be taken in training and quotes the exception. An exception that was met
before, in the collator, in forward or with gradient checkpointing, belongs there.

## Why it matters
Training stops at the first step.

## Example
`element 0 of tensors does not require grad and does not have a grad_fn`: nothing that is trained takes part in the
loss.

## Use instead
Follow the quoted line of code.

## References
- PyTorch documentation, autograd mechanics.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Raised, Unknown
from preflight_ocr.harness.judging.failures import (
    excuse_closed,
    find_checkpointing_failure,
    is_same_failure,
    list_rejected,
    show_raised,
)
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRN006",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="two optimizer steps run",
    needs=("learning",),
    keys=("subject.trainer",),
)

# Whoever meets the exception first, in the order of a run.
_OWNERS = (
    "failing_collator", "unloadable_model", "failing_forward", "failing_batch", "failing_adapter", "mismatched_task_type",
    "forwarded_loss_keyword", "early_checkpointing", "wrapped_before_adapter", "unmatched_targets",
)  # fmt: skip


def excuse(facts: Facts) -> str:
    return excuse_closed(known(facts.learning).training)


def examine(facts: Facts) -> Iterator[Finding]:
    raised = known(facts.learning).training
    if not isinstance(raised, Raised):
        return
    before = _was_met_before(raised, facts)
    yield DIAGNOSIS.finding(
        f"A training step ended with {show_raised(raised)}; expected a loss and gradients.",
        places=list_places(raised),
        fix="Follow the quoted line: the same was raised before the first step."
        if before
        else "Follow the quoted line; forward alone works, so look at backward and the optimizer.",
        owners=_OWNERS if before else (),
    )


def _was_met_before(raised: Raised, facts: Facts) -> bool:
    """Whether this exception is another diagnosis' matter: the same one, or the keyword that PEFT adds."""
    earlier: list[object] = [find_checkpointing_failure(facts)]
    if not isinstance(facts.collator, Unknown):
        earlier.append(facts.collator.batch)
    if not isinstance(facts.forward, Unknown):
        earlier += [facts.forward.loading, facts.forward.given, facts.forward.reference]
        earlier += [repair.raised for repair in facts.forward.repairs]
    if not isinstance(facts.adapter, Unknown):
        earlier.append(facts.adapter.raised)
        if any(f"'{name}'" in raised.message for name in list_rejected(facts)):
            return True
    return any(is_same_failure(raised, other) for other in earlier)
