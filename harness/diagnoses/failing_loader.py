"""Batches do not come through a DataLoader with workers and pinned memory.

## What it does
Draws three batches from a DataLoader as Trainer makes it on a machine with a card: pinned memory, without workers and with
as many as the YAML asks for (two where it asks for none).

## Why it matters
A collator that moves its tensors to the card works as long as it runs in the process of the training. In a worker it stops
with "Cannot re-initialize CUDA in forked subprocess", and what is on the card already cannot be pinned.

## Example
```python
return {name: tensor.cuda() for name, tensor in batch.items()}     # in the collator
```

## Use instead
```python
return batch                                                       # Trainer moves it
```

## References
- PyTorch, "torch.utils.data": memory pinning, multi-process data loading
- PyTorch, "Multiprocessing best practices": CUDA in multiprocessing
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, LoaderTry, Raised, Unknown
from preflight_ocr.harness.judging.failures import show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DEV014",
    severity=Severity.BLOCKER,
    basis=Basis.GPU,
    contract="batches come through workers and pinned memory",
    needs=("configuration", "accelerator"),
    keys=("training.dataloader_num_workers", "training.dataloader_pin_memory", "subject.collator"),
)


def excuse(facts: Facts) -> str:
    batch = None if isinstance(facts.collator, Unknown) else facts.collator.batch
    return f"the collator raises on the CPU already: {batch.message}" if isinstance(batch, Raised) else ""


def examine(facts: Facts) -> Iterator[Finding]:
    asked = known(facts.configuration).dataloader_workers
    for tried in known(facts.accelerator).loaders:
        if isinstance(tried.ended, Raised):
            yield _report(tried, tried.ended, is_asked=tried.workers == asked)
            return


def _report(tried: LoaderTry, raised: Raised, *, is_asked: bool) -> Finding:
    words = "without workers" if not tried.workers else f"with {tried.workers} workers"
    pinned = ", pinned," if tried.is_pinned else ""
    return DIAGNOSIS.finding(
        f"A DataLoader {words}{pinned} ended with {show_raised(raised)}; expected three batches.",
        places=list_places(raised),
        fix="Leave tensors on the CPU in the collator and the dataset: Trainer moves the batch.",
        severity=None if is_asked else Severity.MINOR,
    )
