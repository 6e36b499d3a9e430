"""A callback of the run raises.

## What it does
Lets a run in small call every callback at each of its events (train begin, step end, evaluate, save, train end) and quotes
what was raised. What reports to a service is built and not called.

## Why it matters
Trainer does not catch it: the run ends there, `on_save` after the first checkpoint, `on_train_end` after the last step and
before the model is saved.

## Example
```python
class Upload(TrainerCallback):
    def on_save(self, args, state, control, **kwargs):
        shutil.copytree(args.output_dir / f"checkpoint-{state.global_step}", BUCKET)   # output_dir is a str
```

## Use instead
```python
        shutil.copytree(Path(args.output_dir) / f"checkpoint-{state.global_step}", BUCKET)
```

## References
- transformers, "Callbacks"
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.failures import list_read_owners, show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRN023",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="no callback of the run raises",
    law="rehearsal",
    needs=("rehearsal.callbacks",),
    keys=("subject.trainer", "early_stopping"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    for failed in known(known(facts.rehearsal).callbacks):
        evaluates = failed.callback == "EarlyStoppingCallback" and failed.event == "on_train_begin"
        yield DIAGNOSIS.finding(
            f"The callback {failed.callback} raised in {failed.event}: {show_raised(failed.raised)}. The run ends there.",
            places=list_places(failed.raised),
            owners=list_read_owners(facts, failed.raised),
            fix="Evaluate in a rhythm, name the metric and load the best model at the end: early stopping needs all three."
            if evaluates
            else f"Mend `{failed.event}` at the quoted line, or take the callback off.",
            snippet="training:\n  eval_strategy: steps\n  eval_steps: 100\n  save_steps: 100\n"
            "  load_best_model_at_end: true\n  metric_for_best_model: eval_loss"
            if evaluates
            else "",
        )
