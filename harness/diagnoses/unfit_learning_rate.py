"""The learning rate, with the schedule and the number of steps, hardly moves the adapter, or tears it away in one step.

## What it does
Adds up the rates of all steps of the run's own schedule: with Adam no weight can get further than that. Moves every weight
of the adapter that far down its gradient and measures how much the logits of a batch change, in units of their standard
deviation. Then makes a single step at the schedule's peak and measures what the adapter adds to the weights it sits on.

## Why it matters
Nothing is raised and the loss is logged. A run that cannot move the logits ends with the base model; one whose single step
outweighs the pre-trained weights has lost what the model knew after the first of them.

## Example
```yaml
training: {learning_rate: 2.0e-7, max_steps: 20}     # LoRA: the logits change by 0.0005 of their standard deviation
training: {learning_rate: 5.0}                       # meant: 5.0e-5
```

## Use instead
Published LoRA recipes for vision-language models have 1e-4 to 2e-4 and some hundred steps; full fine-tuning 1e-5.
```yaml
training: {learning_rate: 1.0e-4, lr_scheduler_type: cosine, warmup_ratio: 0.05, max_steps: 1000}
```

## References
- QwenLM/Qwen3-VL#1646, QwenLM/Qwen3-VL#127.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known

UNMOVED = 3e-3  # of the logits' standard deviation; short healthy runs reach 0.08 and more
TRIAL, UNMOVED_IN_A_TRIAL = (
    3,
    1e-3,
)  # steps; how far two of them get differs by a fifth with the adapter's random weights
HARDLY_MOVED = 1e-2  # the same, of a run whose rate nobody publishes: a trial of two steps gets as far
SMALLEST_RATE = 1e-6  # at the peak
TORN = 1.0  # of the norm of the weight; at 3e-3, thirty times what is usual, one step adds less than a tenth

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRN011",
    severity=Severity.MINOR,
    basis=Basis.RAN,
    contract="the run's learning rate and schedule move the adapter, and do not tear it away",
    law="the recipe moves the model",
    needs=("learning.recipe",),
    keys=("training.learning_rate", "training.max_steps", "training.lr_scheduler_type"),
)

OWNERS = ("warmup_beyond_run", "frozen_adapter", "unmatched_targets", "checkpointing_starves")


def examine(facts: Facts) -> Iterator[Finding]:
    recipe = known(known(facts.learning).recipe)
    usual = UNMOVED_IN_A_TRIAL if recipe.steps <= TRIAL else UNMOVED
    if recipe.change < (HARDLY_MOVED if recipe.peak < SMALLEST_RATE else usual):
        yield DIAGNOSIS.finding(
            f"In {count(recipe.steps, 'step')} with a rate of at most {recipe.peak:.1e} the adapter can change logits by "
            f"{recipe.change:.1e} of their standard deviation; expected well above 0.01.",
            evidence=(f"the rates of all steps add up to {recipe.reach:.1e}",),
            fix="Raise the learning rate, or train longer.",
            snippet="training:\n  learning_rate: 1.0e-4",
            owners=OWNERS,
        )
    elif not isinstance(recipe.share, Unknown) and recipe.share > TORN:
        yield DIAGNOSIS.finding(
            f"One step at a rate of {recipe.peak:.1e} adds {recipe.share:.2g} times the norm of the weights that the "
            "adapter sits on; expected a small part of it.",
            evidence=(f"the run has {count(recipe.steps, 'step')}",),
            fix="Lower the learning rate: the pre-trained weights are outweighed by the first step.",
            snippet="training:\n  learning_rate: 1.0e-4",
            severity=Severity.MAJOR,
            owners=OWNERS,
        )
