"""Every training step leaves more memory in use than the one before.

## What it does
Takes 20 optimizer steps on one batch and reads after each what tensors hold on the card. The first five may fill caches;
afterwards the same batch needs the same memory.

## Why it matters
What is kept once per step ends as "CUDA out of memory" after some thousand steps, in the night, with a batch that ran a
hundred times before.

## Example
```python
self.losses.append(loss)                 # keeps the graph of every step
```

## Use instead
```python
self.losses.append(float(loss.detach()))
```

## References
- PyTorch, "Frequently Asked Questions": my model reports "cuda runtime error(2): out of memory"
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, spell_bytes

SETTLING = 5  # steps
MOST = 1 << 20  # bytes; an allocator's own rounding is far below

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="MEM010",
    severity=Severity.MAJOR,
    basis=Basis.GPU,
    contract="memory does not grow from step to step",
    law="nothing grows",
    needs=("accelerator.held",),
    keys=("subject.model", "subject.collator", "subject.trainer", "model.base_model"),
)


def excuse(facts: Facts) -> str:
    steps = len(known(known(facts.accelerator).held))
    return f"only {count(steps, 'step was', 'steps were')} taken" if steps <= 2 * SETTLING else ""


def examine(facts: Facts) -> Iterator[Finding]:
    held = known(known(facts.accelerator).held)[SETTLING:]
    grown = [after - before for before, after in pairwise(held)]
    total = held[-1] - held[0]
    # A cache grows once; a leak grows in most steps, the last ones included.
    if total <= MOST or sum(g > 0 for g in grown) <= len(grown) / 2 or held[-1] <= held[len(held) // 2]:
        return
    yield DIAGNOSIS.finding(
        f"{count(len(grown), 'step')} on one batch left {spell_bytes(total)} more in use, "
        f"{spell_bytes(total // len(grown))} a step; expected none.",
        evidence=(
            f"in use after step {SETTLING + 1}: {spell_bytes(held[0])}",
            f"after step {SETTLING + len(held)}: {spell_bytes(held[-1])}",
        ),
        fix="Look for what outlives the step in the model, the collator and the trainer: a list of losses or outputs "
        "that were not detached, a cache without an end.",
    )
