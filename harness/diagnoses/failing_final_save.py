"""The run trains to its end and cannot save what it made.

## What it does
Saves the trained model, its processor and its generation configuration as the run does at its end.

## Why it matters
All steps were made and nothing is left of them but the last checkpoint. A generation configuration that is refused is met
when the merged model is saved.

## Example
`ValueError: The generation config instance is invalid`: `generation_config.json` has `do_sample: false` and a
`temperature`.

## Use instead
```python
model.generation_config.do_sample = True      # or: model.generation_config.temperature = None
```

## References
- huggingface/transformers#29665, huggingface/transformers#29988
- LLaVA#1144, LLaVA#1252
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.failures import is_same_failure, list_read_owners, show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.stages import excuse_stages, list_raised
from preflight_ocr.harness.judging.wording import known, list_places

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="SAV022",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="what the run leaves at its end can be saved",
    law="rehearsal",
    needs=("rehearsal",),
    keys=("model.base_model", "subject.trainer"),
)

_STAGES = {
    "saving": "Saving the trained model at the end",
    "processor": "Saving the processor at the end",
    "generation_config": "Saving the generation configuration, as merging and saving the whole model does,",
}


def examine(facts: Facts) -> Iterator[Finding]:
    for stage, raised in list_raised(facts, _STAGES):
        yield DIAGNOSIS.finding(
            f"{_STAGES[stage]} raised {show_raised(raised)}.",
            severity=Severity.MAJOR if stage == "generation_config" else None,
            places=list_places(raised),
            owners=("failing_checkpoint",)
            if is_same_failure(raised, known(facts.rehearsal).checkpoint)
            else list_read_owners(facts, raised),
            fix="Make generation_config.json consistent: set do_sample to true, or leave out temperature and top_p."
            if stage == "generation_config"
            else "Mend what the quoted line writes, so that the end of the run leaves something.",
        )


def excuse(facts: Facts) -> str:
    return excuse_stages(facts, _STAGES)
