"""The collator returns tensors that are already on the accelerator.

## What it does
Runs the user's collator beside the model on a simulated accelerator, and looks at where the tensors of its batch are before
anybody has moved them.

## Why it matters
A DataLoader pins what it collates, and only tensors on the CPU can be pinned: "cannot pin 'torch.cuda.FloatTensor' only
dense CPU tensors can be pinned". In a worker it is worse: "Cannot re-initialize CUDA in forked subprocess". With several
cards, each process would put its batches on card 0.

## Example
```python
return {"pixel_values": torch.stack(views).to(model.device), ...}        # or .cuda()
```

## Use instead
```python
return {"pixel_values": torch.stack(views), ...}         # Trainer moves it, while the card is still busy
```

## References
- PyTorch documentation, CUDA semantics, "Use pinned memory buffers"; torch.multiprocessing, "Poor fork in multiprocessing".
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, ReturnedTensor, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.placement import get_placement, weigh
from preflight_ocr.harness.judging.wording import list_places, show_site, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DEV005",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the collator leaves its batch on the CPU",
    needs=("forward.placement",),
    explains=("failing_on_card", "failing_loader"),
    keys=("subject.collator", "training.dataloader_pin_memory", "training.dataloader_num_workers"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    returned = get_placement(facts).returned
    if not returned:
        return
    first = returned[0]
    more = f" and {len(returned) - 1} more" if len(returned) > 1 else ""
    at = f", brought there at {show_site(first.site)}" if first.site else ""
    yield DIAGNOSIS.finding(
        f"The collator returns {first.path}, {first.dtype} {list(first.shape)},{more} on the accelerator{at}; "
        "expected a batch on the CPU, which Trainer, or a loop of your own, moves.",
        severity=weigh(facts, _choose_severity(facts)),
        evidence=show_some(map(_show, returned)),
        places=list_places(*(entry.site for entry in returned)),
        fix="Take the .cuda() or .to(device) out of the collator; a loop of your own then moves the batch itself.",
        snippet=_write_fix(first),
    )


def _choose_severity(facts: Facts) -> Severity:
    """Without pinning and without workers it goes well, on one card, while the card waits for each batch."""
    configuration = facts.configuration
    if isinstance(configuration, Unknown) or configuration.pins_memory or configuration.dataloader_workers:
        return DIAGNOSIS.severity
    return Severity.MINOR


def _show(entry: ReturnedTensor) -> str:
    at = f" ({show_site(entry.site)})" if entry.site else ""
    return f"{entry.path}: {entry.dtype} {list(entry.shape)}{at}"


def _write_fix(entry: ReturnedTensor) -> str:
    code = entry.site.code if entry.site else ""
    return code.replace(".cuda()", "") if ".cuda()" in code else "return batch  # as it was made, on the CPU"
