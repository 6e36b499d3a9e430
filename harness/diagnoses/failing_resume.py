"""A checkpoint that the run wrote cannot be loaded again.

## What it does
Has a second trainer go on from the checkpoint of the first for one step, and load the best checkpoint at its end where
`load_best_model_at_end` is set.

## Why it matters
It is noticed after an interruption, when the hours that the checkpoint was for are lost, or at the very end of the run.

## Example
`UnpicklingError: Weights only load failed`: a release of transformers and a newer PyTorch do not agree on what may be read
from `rng_state.pth`.

## Use instead
Upgrade transformers, or allow the NumPy types with `torch.serialization.add_safe_globals` before `train`.

## References
- huggingface/transformers#34631
- PyTorch, "Serialization semantics"
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
    code="SAV021",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="training goes on from its own checkpoint, and the best one can be loaded",
    law="rehearsal",
    needs=("rehearsal",),
    keys=("subject.trainer", "training.load_best_model_at_end"),
)

_STAGES = {
    "resume": "Going on from the checkpoint of the first step",
    "best": "Loading the best checkpoint at the end",
}


def examine(facts: Facts) -> Iterator[Finding]:
    for stage, raised in list_raised(facts, _STAGES):
        yield DIAGNOSIS.finding(
            f"{_STAGES[stage]} raised {show_raised(raised)}.",
            places=list_places(raised),
            owners=list_read_owners(facts, raised),
            fix="Mend what the quoted line reads, or save what it needs; a second check then shows the way back.",
        )


def excuse(facts: Facts) -> str:
    return excuse_stages(facts, _STAGES)
