"""Gradient checkpointing is set up in a way that fails with this model and frozen weights.

## What it does
Runs one training step with gradient checkpointing as the configuration asks for it, and reads the exception.

## Why it matters
Switched on before the adapter, checkpointing makes the embeddings' output require a gradient, and a model that
writes image features into it in place fails. Switched on after it, the re-entrant kind finds no input that requires
a gradient.

## Example
`model.gradient_checkpointing_enable()` before `get_peft_model(model, config)`.

## Use instead
Switch it on after the adapter is in place, with `use_reentrant: false`.

## References
- huggingface/transformers#42489, huggingface/peft#137.
- PyTorch documentation, `torch.utils.checkpoint`: re-entrant and non-re-entrant variants.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.failures import find_checkpointing_failure, is_same_failure, show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRA004",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="a training step with gradient checkpointing runs",
    needs=("learning",),
    keys=("training.gradient_checkpointing", "subject.peft"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    raised = find_checkpointing_failure(facts)
    learning = known(facts.learning)
    if raised is None:
        return
    # A step that fails alike without checkpointing has another cause.
    if is_same_failure(raised, learning.training) and raised is not learning.training:
        return
    fix, snippet = _find_fix(raised.message)
    yield DIAGNOSIS.finding(
        f"With gradient checkpointing a step ends with {show_raised(raised)}.",
        places=list_places(raised),
        fix=fix,
        snippet=snippet,
    )


def _find_fix(message: str) -> tuple[str, str]:
    if "does not support" in message:
        return "Switch gradient checkpointing off: this class has none.", "training: {gradient_checkpointing: false}"
    kind = "training: {gradient_checkpointing: true, gradient_checkpointing_kwargs: {use_reentrant: false}}"
    if "view of a leaf Variable" in message:
        return (
            "Switch checkpointing on after get_peft_model, without enable_input_require_grads, and not re-entrant.",
            kind,
        )
    return "Use the non-re-entrant kind of checkpointing.", kind
