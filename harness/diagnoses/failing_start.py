"""The run ends before, or at, its first step.

## What it does
Builds TrainingArguments, the Trainer with its callbacks and integrations, the optimizer and its schedule from the run's
own arguments, and makes one step with them. Only sizes are reduced. What was raised before a run was rehearsed belongs
there.

## Why it matters
A single step by hand works, and the run does not: what Trainer adds to it (arguments, callbacks, optimizer, schedule) is
what fails.

## Example
```yaml
training: {lr_scheduler_type: cosine_with_min_lr}   # "One of min_lr or min_lr_rate should be set"
```

## Use instead
```yaml
training:
  lr_scheduler_type: cosine_with_min_lr
  lr_scheduler_kwargs: {min_lr_rate: 0.1}
```

## References
- transformers, "Trainer"
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Raised
from preflight_ocr.harness.judging.failures import is_same_failure, list_before_the_run, list_read_owners, show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.stages import excuse_stages
from preflight_ocr.harness.judging.wording import known, list_places

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRN020",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the run's own arguments, trainer, optimizer and schedule are built and make a step",
    law="rehearsal",
    needs=("rehearsal",),
    keys=("training.optim", "training.lr_scheduler_type", "training.report_to", "subject.trainer"),
)

_STAGES = {
    "arguments": "TrainingArguments, with the values of this run,",
    "trainer": "Building the trainer",
    "optimizer": "Building the optimizer and its schedule",
    "step": "The first step of the trainer",
}
_EARLIER = (
    "failing_collator", "failing_batch", "failing_forward", "failing_step", "failing_dtype", "mixed_model_dtypes",
    "unaccepted_batch_key", "failing_adapter", "forwarded_loss_keyword",
)  # fmt: skip


def examine(facts: Facts) -> Iterator[Finding]:
    rehearsal = known(facts.rehearsal)
    for stage, words in _STAGES.items():
        raised = getattr(rehearsal, stage)
        if not isinstance(raised, Raised):
            continue
        before = any(is_same_failure(raised, other) for other in list_before_the_run(facts))
        yield DIAGNOSIS.finding(
            f"{words} raised {show_raised(raised)}. Expected a run that begins.",
            places=list_places(raised),
            fix="Follow what the message asks for: the value comes from the training section, or from the quoted line.",
            owners=_EARLIER if before else list_read_owners(facts, raised),
        )


def excuse(facts: Facts) -> str:
    rehearsal = known(facts.rehearsal)
    if any(isinstance(getattr(rehearsal, stage), Raised) for stage in _STAGES):
        return ""
    others = [name for name in known(rehearsal.left_out) if name in ("deepspeed", "fsdp", "parallelism_config")]
    if others:
        return f"one process on a CPU cannot do this: {', '.join(others)}; the run was rehearsed without it"
    return excuse_stages(facts, [stage for stage in _STAGES if stage != "arguments"])  # a factory makes its own
