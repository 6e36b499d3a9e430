"""Something in the process grows with every step.

## What it does
Collates the same rows and takes a training step with them, again and again, and counts after each round: live tensors,
entries of the collator's own containers, open files, threads. What grows in every round, after two that may fill
caches, is reported with what holds it.

## Why it matters
A run makes thousands of steps. A few megabytes kept of each fill the machine's memory in hours, and the run is ended
by the system without a traceback. A cache that has an end does not grow when the same rows come again.

## Example
```python
def __call__(self, rows):
    batch = self.build(rows)
    self.seen.append(batch)          # for a look at it later
    return batch
```

## Use instead
Keep a bounded number, without their graph:
```python
self.seen = deque(maxlen=8)
```

## References
- PyTorch documentation, "Frequently asked questions": my model reports out of memory
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="MEM021",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="nothing in the process grows with every step",
    law="nothing grows",
    needs=("learning.growth",),
    keys=("subject.collator", "subject.model"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    growth = known(known(facts.learning).growth)
    kinds = {
        "live tensors": growth.tensors,
        "entries of the collator's own containers": growth.entries,
        "open files": growth.files,
        "threads": growth.threads,
    }
    growing = {kind: counts for kind, counts in kinds.items() if _grows(counts)}
    if not growing:
        return
    # A list of whole numbers takes years to fill a machine.
    is_small = set(growing) == {"entries of the collator's own containers"}
    kept = (growth.bytes[-1] - growth.bytes[0]) / (len(growth.bytes) - 1)
    held = f"; they are held by {', '.join(growth.holders)}" if growth.holders else ""
    yield DIAGNOSIS.finding(
        f"The same rows, collated and trained on again and again, leave more behind each time: {', '.join(growing)}{held}. "
        "Expected the same after each round.",
        evidence=(
            *(f"{kind}: {', '.join(map(str, counts))}" for kind, counts in growing.items()),
            *((f"{kept:,.0f} bytes of tensors are kept of each round",) if "live tensors" in growing else ()),
        ),
        fix="Keep a bounded number of batches or outputs, detached from their graph, or none.",
        snippet="self.seen = deque(maxlen=8)",
        severity=Severity.MINOR if is_small else None,
    )


def _grows(counts: Sequence[int]) -> bool:
    """In every round: what is let go once in a while has an end."""
    return len(counts) > 2 and all(after > before for before, after in itertools.pairwise(counts))
