"""The output directory holds a checkpoint of another model or of an adapter of another shape.

## What it does
Reads the `adapter_config.json` of every checkpoint in `training.output_dir` and compares the base model, the rank and
the target modules with this run's.

## Why it matters
Resuming picks the newest checkpoint of that directory. Another rank stops it with "size mismatch"; other target
modules leave keys over, and training starts from zero without saying so.

## Example
```text
outputs/checkpoint-500: r=16;   this run: r=8
```

## Use instead
```yaml
training: {output_dir: outputs/run-2}
```

## References
- transformers, "Trainer": resume_from_checkpoint and get_last_checkpoint
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from preflight_ocr.harness.facts import Checkpoint, Configuration, Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="SAV003",
    severity=Severity.MAJOR,
    basis=Basis.READ,
    contract="every checkpoint in the output directory belongs to this run",
    needs=("configuration",),
    keys=("training.output_dir",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    configuration = known(facts.configuration)
    lines = [
        f"{checkpoint.path}: {', '.join(differences)}"
        for checkpoint in configuration.checkpoints
        if (differences := tuple(_compare(checkpoint, configuration)))
    ]
    if not lines:
        return
    yield DIAGNOSIS.finding(
        f"{configuration.output_dir} holds {count(len(lines), 'checkpoint that does', 'checkpoints that do')} not "
        "belong to this "
        "run: resuming from one stops, or starts from zero without a message.",
        evidence=show_some(lines),
        fix="Train into another directory, or move the old checkpoints away.",
        snippet=f"training:\n  output_dir: {configuration.output_dir.rstrip('/')}-2",
    )


def _compare(checkpoint: Checkpoint, configuration: Configuration) -> Iterator[str]:
    theirs, ours = _name(checkpoint.base_model or ""), _name(configuration.base_model)
    if theirs and ours and theirs != ours:
        yield f"base model {checkpoint.base_model}, here {configuration.base_model}"
    if checkpoint.peft_type not in (None, "LORA"):
        yield f"{checkpoint.peft_type}, here LORA"
    if "peft" in configuration.replaced_parts:
        return  # rank and targets of the YAML are not what the user's own step uses
    if checkpoint.r not in (None, configuration.lora_r):
        yield f"r={checkpoint.r}, here r={configuration.lora_r}"
    wanted = configuration.target_modules
    if not isinstance(wanted, tuple) or not wanted or not checkpoint.target_modules:
        return  # a pattern such as "all-linear" cannot be compared with the names it became
    if set(wanted) != set(checkpoint.target_modules):
        yield f"target_modules {', '.join(checkpoint.target_modules)}, here {', '.join(wanted)}"


def _name(model: str) -> str:
    """The repository's name in an id, a path or a path into the hub's cache: the only part that survives a move."""
    cached = re.search(r"models--[^/\\]+--([^/\\]+)", model)
    name = cached[1] if cached else re.split(r"[/\\]", model.rstrip("/\\"))[-1]
    return name.strip(".").lower()
