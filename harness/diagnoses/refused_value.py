"""The training section has a value that transformers refuses.

## What it does
Holds `optim`, `lr_scheduler_type`, `report_to` and the strategies against the names in the installed transformers' own
enumerations. Two values that exclude each other, and an evaluation without rows, are found as well.

## Why it matters
TrainingArguments or Trainer raises, and the run ends before its first step.

## Example
```yaml
training: {lr_scheduler_type: cosinee}
```

## Use instead
```yaml
training: {lr_scheduler_type: cosine}
```

## References
- transformers, "Trainer": `TrainingArguments`
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="CFG020",
    severity=Severity.BLOCKER,
    basis=Basis.READ,
    contract="the installed transformers knows every value of the training section",
    law="rehearsal",
    needs=("configuration.refused_values",),
    explains=("failing_start", "mixed_model_dtypes", "failing_dtype"),
    keys=("training.lr_scheduler_type", "training.optim", "training.eval_strategy", "training.fp16"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    for value in known(known(facts.configuration).refused_values):
        key = value.path.rpartition(".")[2]
        yield DIAGNOSIS.finding(
            f"{value.path}: {value.detail}. The run ends before its first step.",
            fix=f"Write {key}: {value.nearest}." if value.nearest else _choose_fix(key),
            snippet=f"training:\n  {key}: {value.nearest}" if value.nearest else "",
            keys=(value.path,),
        )


def _choose_fix(key: str) -> str:
    if key == "fp16":
        return "Keep one of the two: bf16 where the card has it, else fp16."
    if key.startswith("eval"):
        return "Set data.val_path to a directory with rows, or set eval_strategy to 'no'."
    return f"Choose one of the values that the installed transformers has for {key}, or leave the key out."
