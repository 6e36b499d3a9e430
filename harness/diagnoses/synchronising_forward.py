"""Forward makes the processor wait for the card again and again.

## What it does
Counts, in one forward on the card, the places at which torch says that the processor had to wait: `.item()`, `.tolist()`,
`.cpu()`, `nonzero`, a mask as an index. Up to 100 are taken as usual: a few for each row and for each picture.

## Why it matters
A processor that never waits gives the card work ahead of time. One that waits at every layer and every expert leaves the
card idle between two small kernels, and a larger card makes it no faster.

## Example
```python
for index, expert in enumerate(self.experts):        # 64 experts in 11 layers
    chosen = tokens[mask == index]                   # waits to learn how many they are
```

## Use instead
```python
order = mask.argsort()                               # once; then slices of a length that is known on the processor
```

## References
- PyTorch, "torch.cuda.set_sync_debug_mode"
- PyTorch, "Performance Tuning Guide": avoid unnecessary CPU-GPU synchronization
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places, show_some

USUAL = 100  # in one forward; the 22 healthy miniatures have between 0 and 52, counted by operations on a CPU

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DEV012",
    severity=Severity.MINOR,
    basis=Basis.GPU,
    contract="forward seldom waits for the card",
    needs=("accelerator.waits",),
    keys=("model.base_model",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    waits = known(known(facts.accelerator).waits)
    total = sum(wait.times for wait in waits)
    if total <= USUAL:
        return
    yield DIAGNOSIS.finding(
        f"One forward waited {total} times for the card, at {len(waits)} lines; up to {USUAL} times are usual. "
        "The card idles meanwhile.",
        evidence=show_some(f"{w.times} times {w.site.file}:{w.site.line}: {w.site.code}" for w in waits),
        places=list_places(*(wait.site for wait in waits)),
        fix="Compute on the card what the first of these lines asks for, or ask once for all layers; larger batches "
        "wait no more often than small ones.",
    )
