"""A torch build that has no kernels for the card.

## What it does
Compares the card's compute capability with `torch.cuda.get_arch_list()`: a kernel runs on cards of its own major
version and the same or a newer minor one; PTX (`compute_XY`) is compiled for any newer card.

## Why it matters
torch sees the card, the model moves onto it, and the first kernel stops with "no kernel image is available for
execution on the device". This happens with every new generation of cards and an older torch.

## Example
```text
card: capability 12.0;  torch: sm_80 sm_86 sm_90
```

## Use instead
```bash
pip install --upgrade torch --index-url https://download.pytorch.org/whl/cu128
```

## References
- PyTorch, "torch.cuda.get_arch_list"
- NVIDIA, "CUDA C++ Programming Guide": binary and PTX compatibility
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="ENV001",
    severity=Severity.BLOCKER,
    basis=Basis.GPU,
    contract="torch has kernels for the card",
    needs=("device",),
    explains=("unsupported_attention", "failing_on_card", "failing_dtype", "failing_loader"),
)

_ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)([af]?)")


def excuse(facts: Facts) -> str:
    return "torch cannot use the card at all" if known(facts.device).refused else ""


def examine(facts: Facts) -> Iterator[Finding]:
    device = known(facts.device)
    built = [match.groups() for name in device.arch_list if (match := _ARCHITECTURE.fullmatch(name))]
    if not built:
        return
    major, _, minor = device.capability.partition(".")
    card = (int(major), int(minor or 0))
    if any(_runs(kind, (int(m), int(n)), suffix, card) for kind, m, n, suffix in built):
        return
    yield DIAGNOSIS.finding(
        f"{device.name} has compute capability {device.capability}, and the installed torch has kernels for "
        f"{', '.join(device.arch_list)} only. One of them should fit the card.",
        evidence=(f"capability: {device.capability}", f"torch was built for: {', '.join(device.arch_list)}"),
        fix=f"Install a torch build that names sm_{major}{minor or 0}: a newer release, or the index of a newer CUDA.",
        snippet="pip install --upgrade torch --index-url https://download.pytorch.org/whl/cu128",
    )


def _runs(kind: str, built: tuple[int, int], suffix: str, card: tuple[int, int]) -> bool:
    if suffix == "a":  # architecture-specific code runs on exactly that one
        return built == card
    if kind == "compute" and not suffix:
        return built <= card
    return built[0] == card[0] and built[1] <= card[1]
