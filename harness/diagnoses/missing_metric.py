"""The metric that the best checkpoint is chosen by is not among those that evaluation gives.

## What it does
Evaluates in small and looks for `metric_for_best_model` among the names that came back.

## Why it matters
Trainer raises KeyError at the first evaluation. `eval_loss` is missing where Trainer does not know which key of the batch
holds the labels: a PEFT wrapper without a task type hides `labels` from it, and nothing is evaluated at all.

## Example
```yaml
training: {load_best_model_at_end: true, metric_for_best_model: cer}   # compute_metrics returns {"wer": ...}
```

## Use instead
```yaml
training: {load_best_model_at_end: true, metric_for_best_model: wer, greater_is_better: false}
```

## References
- huggingface/transformers#33420, huggingface/transformers#38130
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRN022",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="evaluation gives the metric that checkpoints are judged by",
    law="rehearsal",
    needs=("rehearsal.metrics",),
    keys=("training.metric_for_best_model", "training.label_names", "training.load_best_model_at_end"),
)

_OF_THE_CLOCK = ("runtime", "samples_per_second", "steps_per_second", "epoch", "model_preparation_time")


def examine(facts: Facts) -> Iterator[Finding]:
    rehearsal = known(facts.rehearsal)
    wanted, metrics = known(rehearsal.wanted_metric), known(rehearsal.metrics)
    if wanted is None or wanted in metrics:
        return
    own = [name.removeprefix("eval_") for name in metrics if name.removeprefix("eval_") not in _OF_THE_CLOCK]
    if wanted == "eval_loss" and "loss" not in own:
        fix, snippet = "Tell Trainer which key holds the labels.", 'training:\n  label_names: ["labels"]'
    elif own:
        fix, snippet = (
            f"Choose a metric that is there: {', '.join(own)}.",
            f"training:\n  metric_for_best_model: {own[0]}",
        )
    else:
        fix, snippet = f"Have compute_metrics return {wanted.removeprefix('eval_')!r}.", ""
    yield DIAGNOSIS.finding(
        f"Evaluation gives no {wanted}, and the best checkpoint is chosen by it: Trainer raises KeyError at the first "
        "evaluation.",
        evidence=(f"evaluation gave: {', '.join(metrics) or 'nothing'}",),
        fix=fix,
        snippet=snippet,
    )
