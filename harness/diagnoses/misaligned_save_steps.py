"""Checkpoints that are not saved at the steps at which the model is evaluated.

## What it does
With `load_best_model_at_end`, compares `save_strategy` with `eval_strategy` and `save_steps` with `eval_steps`.

## Why it matters
The best model can only be loaded if a checkpoint exists for the step at which it was best. `TrainingArguments`
therefore raises a ValueError, after the model and the data have been loaded.

## Example
```yaml
training: {load_best_model_at_end: true, evaluation_strategy: steps, eval_steps: 200, save_steps: 500}
```

## Use instead
```yaml
training: {load_best_model_at_end: true, evaluation_strategy: steps, eval_steps: 250, save_steps: 500}
```

## References
- transformers, "Trainer": `load_best_model_at_end` requires `save_steps` to be a round multiple of `eval_steps`
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Configuration, Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="CFG004",
    severity=Severity.BLOCKER,
    basis=Basis.READ,
    contract="a checkpoint exists for every evaluated step that may turn out the best",
    needs=("configuration",),
    explains=("failing_step",),
    keys=("training.save_steps", "training.save_strategy", "training.eval_steps", "training.load_best_model_at_end"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    configuration = known(facts.configuration)
    if not configuration.load_best_model_at_end or configuration.save_strategy == "best":
        return
    fault = _compare(configuration)
    if fault is None:
        return
    strategy = configuration.save_strategy if configuration.save_strategy != "no" else "steps"
    every = configuration.eval_steps or configuration.save_steps
    steps = f"\n  eval_steps: {every}\n  save_steps: {every}" if strategy == "steps" else ""
    yield DIAGNOSIS.finding(
        f"load_best_model_at_end is on, but {fault}. Trainer refuses this with a ValueError.",
        evidence=(
            f"save: {configuration.save_strategy}, every {configuration.save_steps} steps",
            f"evaluation: {configuration.eval_strategy}, every {configuration.eval_steps} steps",
        ),
        fix="Save and evaluate by the same strategy, and save at a multiple of the evaluation steps.",
        snippet=f"training:\n  eval_strategy: {strategy}\n  save_strategy: {strategy}{steps}",
    )


def _compare(configuration: Configuration) -> str | None:
    save, evaluation = configuration.save_strategy, configuration.eval_strategy
    if save != evaluation:
        return f"checkpoints are saved by {save!r} and evaluation is by {evaluation!r}; both should be the same"
    every = configuration.eval_steps
    if save == "steps" and every and configuration.save_steps % every:
        return f"save_steps {configuration.save_steps} is not a multiple of eval_steps {every}"
    return None
