"""The run cannot write its checkpoint.

## What it does
Has the run's own trainer write a checkpoint after its first step: model, processor, optimizer, schedule, random states.

## Why it matters
The run dies at its first checkpoint; all its steps until then are lost.

## Example
`RuntimeError: Some tensors share memory`: a module was registered under two names, and safetensors writes no tensor twice.

## Use instead
Tie such weights through the model's own `tie_weights` and `_tied_weights_keys`, or register the module once.

## References
- safetensors, "Torch shared tensors"
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.failures import list_read_owners, show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.stages import excuse_stages, list_raised
from preflight_ocr.harness.judging.wording import list_places

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="SAV020",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="a checkpoint is written",
    law="rehearsal",
    needs=("rehearsal",),
    keys=("subject.trainer", "training.save_strategy"),
)

_STAGES = {
    "checkpoint": "Writing a checkpoint",
}


def examine(facts: Facts) -> Iterator[Finding]:
    for stage, raised in list_raised(facts, _STAGES):
        yield DIAGNOSIS.finding(
            f"{_STAGES[stage]} raised {show_raised(raised)}.",
            places=list_places(raised),
            owners=list_read_owners(facts, raised),
            fix="Mend what the quoted line writes; until then no step of the run is kept.",
        )


def excuse(facts: Facts) -> str:
    return excuse_stages(facts, _STAGES)
