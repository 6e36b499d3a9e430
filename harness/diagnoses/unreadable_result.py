"""What the run saved at its end cannot be loaded.

## What it does
Loads adapter and processor in a fresh process from the folder that the rehearsed run left.

## Why it matters
Everything was trained and saved without an error, and nobody can use it.

## Example
`size mismatch for lm_head.weight`: rows were added to the embeddings in training, and the base model has none of them.

## Use instead
Save what loading needs beside the adapter (the tokenizer, the resized embeddings), and load the base model in the same way.

## References
- PEFT, "Checkpoint format"
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.failures import show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.stages import excuse_stages, list_raised
from preflight_ocr.harness.judging.wording import list_places

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="SAV023",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="a fresh process reads what the run left",
    law="rehearsal",
    needs=("rehearsal",),
    keys=("subject.peft", "subject.trainer"),
)

_STAGES = {
    "reading": "Loading the adapter and the processor that the run saved",
}


def examine(facts: Facts) -> Iterator[Finding]:
    for stage, raised in list_raised(facts, _STAGES):
        yield DIAGNOSIS.finding(
            f"{_STAGES[stage]} raised {show_raised(raised)}.",
            places=list_places(raised),
            fix="Save beside the adapter what the message names, or load the base model as training did.",
        )


def excuse(facts: Facts) -> str:
    return excuse_stages(facts, _STAGES)
