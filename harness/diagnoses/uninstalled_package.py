"""A value of the run needs a package that is not installed.

## What it does
Reads in the source of the installed transformers which package an optimizer, an entry of `report_to` or a switch such as
`deepspeed` and `use_liger_kernel` needs, and looks whether it is there; for `model.quantization` it is bitsandbytes.

## Why it matters
The run ends before its first step, often after the model was loaded for minutes.

## Example
```yaml
training: {report_to: wandb}     # "WandbCallback requires wandb to be installed"
```

## Use instead
```bash
pip install wandb
```

## References
- huggingface/peft#2450, huggingface/accelerate#3508
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="ENV020",
    severity=Severity.BLOCKER,
    basis=Basis.READ,
    contract="every package that a value of the run needs is installed",
    law="rehearsal",
    needs=("configuration.lacking_packages",),
    explains=("failing_start", "unloadable_model"),
    keys=("training.report_to", "training.optim", "training.deepspeed", "model.quantization.load_in_4bit"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    for value in known(known(facts.configuration).lacking_packages):
        package = (value.nearest or "").replace("_", "-")
        yield DIAGNOSIS.finding(
            f"{value.path} asks for `{value.detail}`, which needs the package {value.nearest}. It is not installed here, so "
            "that the run ends before its first step.",
            fix=f"Type `pip install {package}`, or choose a value that needs no further package.",
            keys=(value.path,),
        )
