"""There is a card, and the installed torch cannot use it.

## What it does
Asks torch to start CUDA on the machine whose driver lists a card, and quotes what it says.

## Why it matters
A build of torch without CUDA, or one for a newer driver, does not stop a run: Trainer then trains on the CPU, a hundred
times slower, and bf16 or fp16 stop with a message about something else.

## Example
```text
driver: NVIDIA L4;  torch 2.6.0+cpu: Torch not compiled with CUDA enabled
```

## Use instead
```bash
pip install --upgrade torch --index-url https://download.pytorch.org/whl/cu126
```

## References
- PyTorch, "Get started": CUDA builds
- NVIDIA, "CUDA compatibility": which driver each CUDA needs
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="ENV010",
    severity=Severity.BLOCKER,
    basis=Basis.GPU,
    contract="torch can use the card",
    needs=("device",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    device = known(facts.device)
    if device.refused is None:
        return
    packages = {} if isinstance(facts.environment, Unknown) else facts.environment.packages
    is_old = "driver" in device.refused.message.lower()
    yield DIAGNOSIS.finding(
        f"The driver lists {device.name or 'a card'}, and torch says: {device.refused.message.strip().rstrip('.')}. "
        "Training would stay on the CPU.",
        evidence=(f"torch {packages.get('torch', '(not found)')}", f"{device.refused.type}: {device.refused.message}"),
        fix="Update the driver, or install a torch that was built for an older CUDA."
        if is_old
        else "Install a build of torch for CUDA in place of this one.",
        snippet="pip install --upgrade torch --index-url https://download.pytorch.org/whl/cu126",
    )
