"""A tensor on the accelerator is asked for as a numpy array.

## What it does
Runs forward on a simulated accelerator and notes each `.numpy()`, and each `np.asarray(tensor)`, on a tensor that would be
on it.

## Why it matters
numpy reads the CPU's memory. On a card the call raises "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()
to copy the tensor to host memory first", on a laptop it works.

## Example
```python
lengths = attention_mask.sum(1).numpy()
```

## Use instead
```python
lengths = attention_mask.sum(1).cpu().numpy()        # or stay in torch, so that nothing waits for the card
```

## References
- PyTorch documentation, `torch.Tensor.numpy`.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, HostCopy
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.placement import excuse_simulation, get_placement, weigh
from preflight_ocr.harness.judging.wording import list_places, show_site, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DEV007",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="forward hands no tensor on the accelerator to numpy",
    needs=("forward.placement",),
    explains=("failing_on_card",),
    keys=("subject.model", "subject.collator"),
)


def excuse(facts: Facts) -> str:
    return excuse_simulation(facts, examine(facts))


def examine(facts: Facts) -> Iterator[Finding]:
    for copied in get_placement(facts).host_copies:
        at = f" at {show_site(copied.site)}" if copied.site else ""
        yield DIAGNOSIS.finding(
            f"{_name(copied)}, {copied.dtype} {list(copied.shape)} on the accelerator, is asked for as an array{at}; "
            "expected a tensor on the CPU.",
            severity=weigh(facts, DIAGNOSIS.severity),
            evidence=show_some((f"{copied.call} of {copied.dtype} {list(copied.shape)}{at}",)),
            places=list_places(copied.site),
            fix="Copy it to the CPU first, or do the same in torch.",
            snippet=_write_fix(copied),
        )


def _name(copied: HostCopy) -> str:
    return copied.origin.name if copied.origin and copied.origin.name else "A tensor"


def _write_fix(copied: HostCopy) -> str:
    code = copied.site.code if copied.site else ""
    return code.replace(".numpy()", ".cpu().numpy()") if ".numpy()" in code else "tensor.cpu().numpy()"
