"""Of several processes, one whose batch has no picture leaves the others waiting for ever.

## What it does
Where some rows have a picture and some have none, and the run's settings make processes wait for each other, trains one
step on a row without a picture and lists the trained weights that get no gradient from it, and get one from a row with a
picture. Nothing of it needs a second process.

## Why it matters
Each process has batches of its own. Sooner or later one has text alone: its vision part is never called, and the others,
which have gradients for it, wait. Nothing is raised until a timeout of half an hour, hours into the run.

## Example
```yaml
lora: {target_modules: all-linear}                 # the vision part too
training: {ddp_find_unused_parameters: false}      # a tip to make DDP faster
```

## Use instead
Leave the key out: Trainer then lets DDP look for what a batch leaves out. Or give each row a picture, or keep the adapter
out of the vision part:
```yaml
lora: {exclude_modules: '.*(vision|visual|projector).*'}   # as your model calls these parts
```

## References
- PyTorch documentation, DistributedDataParallel: find_unused_parameters
- microsoft/DeepSpeed#7170.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRN012",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="a batch without a picture leaves no other process waiting",
    where="rows are with and without a picture, and the run makes processes wait for each other",
    needs=("learning.uneven",),
    keys=("training.ddp_find_unused_parameters", "lora.target_modules"),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.learning, Unknown) or facts.learning.uneven is not None


def examine(facts: Facts) -> Iterator[Finding]:
    uneven = known(known(facts.learning).uneven)
    assert uneven is not None  # or nothing would be asked
    if not uneven.left_out:
        return
    missing = sum(uneven.left_out.values())
    is_ddp = uneven.waits.startswith("ddp")
    yield DIAGNOSIS.finding(
        f"A row without a picture gives {missing} of {uneven.trained} trained weights no gradient, and with {uneven.waits} "
        "each of several processes waits until all have one: a run on two cards or more stops at such a batch.",
        evidence=(
            ", ".join(f"{part}: {number} weights" for part, number in sorted(uneven.left_out.items())),
            f"such as {uneven.example}",
        ),
        fix="Remove the key: Trainer then lets DDP look for what a batch leaves out."
        if is_ddp
        else "Give each row a picture, keep the adapter out of the vision part, or train with DDP.",
        snippet="training: {}   # without ddp_find_unused_parameters" if is_ddp else "",
    )
