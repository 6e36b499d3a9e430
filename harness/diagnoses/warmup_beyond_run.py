"""A warm-up that lasts as long as the whole run.

## What it does
Holds the warm-up against the optimizer steps of the whole run: rows / batch size / accumulation, times epochs.

## Why it matters
The learning rate climbs from zero during warm-up. When the run ends first, training never sees the rate that was
asked for, the loss hardly moves, and the model is blamed.

## Example
```yaml
training: {max_steps: 10, warmup_steps: 100}   # ends at a tenth of the learning rate
```

## Use instead
```yaml
training: {max_steps: 1000, warmup_steps: 100}   # about 5 to 10 % of the run
```

## References
- transformers, "Optimization": `get_linear_schedule_with_warmup`
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="CFG003",
    severity=Severity.MAJOR,
    basis=Basis.READ,
    contract="the learning rate leaves warm-up before the run ends",
    needs=("configuration.total_steps",),
    keys=("training.warmup_steps", "training.warmup_ratio", "training.max_steps", "training.num_train_epochs"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    configuration = known(facts.configuration)
    total, warmup = known(configuration.total_steps), configuration.warmup_steps
    if warmup == 0 or total == 0 or warmup < total:
        return
    shorter = total // 10
    yield DIAGNOSIS.finding(
        f"The warm-up lasts {count(warmup, 'step')} and the whole run has {total}: the learning rate reaches at most "
        f"{total / warmup:.0%} of its value. Warm-up should end well before the run does.",
        evidence=(f"warm-up: {warmup} optimizer steps", f"run: {total} optimizer steps"),
        fix=f"Shorten the warm-up to about {count(shorter, 'step')}, or train longer.",
        snippet=f"training:\n  warmup_steps: {shorter}",
    )
