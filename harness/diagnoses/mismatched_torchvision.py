"""A torchvision that was built for another torch.

## What it does
Compares the torch release that torchvision's metadata asks for with the installed one, and the build labels of both
(`cpu`, `cu118`, `cu128`, `rocm6.2`). A release from PyPI has no label in its metadata; there `version.py` of the package is
read, without importing it. No torchvision at all is fine: Preflight does not need it.

## Why it matters
torchvision's compiled operators fit one torch only. `import torchvision` then stops with "operator torchvision::nms
does not exist", and transformers imports torchvision wherever it finds it.

## Example
```text
torch 2.13.0+cpu   torchvision 0.28.0+cu128
```

## Use instead
Install both from the same index in one command, or remove torchvision where nothing needs it:
```bash
pip install --upgrade torch torchvision --index-url https://download.pytorch.org/whl/cpu
```

## References
- pytorch/vision, README: the table of matching torch and torchvision releases
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from preflight_ocr.harness.facts import Environment, Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="ENV003",
    severity=Severity.MAJOR,
    basis=Basis.READ,
    contract="torchvision, if installed, fits the installed torch",
    needs=("environment",),
    explains=("unloadable_model", "failing_collator", "failing_forward"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    environment = known(facts.environment)
    torch, torchvision = environment.packages.get("torch"), environment.packages.get("torchvision")
    mismatch = _compare(environment) if torch and torchvision else None
    if not mismatch:
        return
    needed = not isinstance(facts.repository, Unknown) and any(
        i.module.partition(".")[0] == "torchvision" and not i.conditional for i in facts.repository.imports
    )
    index = (
        f" --index-url https://download.pytorch.org/whl/{environment.torch_build}" if environment.torch_build else ""
    )
    blocks = needed or _ended_unanswered(facts)
    yield DIAGNOSIS.finding(
        f"torch {torch} and torchvision {torchvision} do not belong together: {mismatch}. Importing torchvision fails"
        + (
            ", and the model's own code imports it."
            if needed
            else ", and transformers imports it where it is installed."
        ),
        evidence=(f"torch {torch}, built for {environment.torch_build or 'an unnamed platform'}", mismatch),
        fix="Install both in one command from one index"
        + ("." if needed else ", or remove torchvision: nothing here needs it."),
        snippet=f"pip install --upgrade torch torchvision{index}" + ("" if needed else "\npip uninstall torchvision"),
        severity=Severity.BLOCKER if blocks else Severity.MAJOR,
    )


def _ended_unanswered(facts: Facts) -> bool:
    """Whether neither the processor nor forward could be loaded here, so that no training begins either."""
    return all(isinstance(seen, Unknown) and seen.died for seen in (facts.processor, facts.forward))


def _compare(environment: Environment) -> str | None:
    # Releases that differ in the last number only work together.
    wanted, installed = _cut(environment.torchvision_wants_torch or ""), _cut(environment.packages["torch"])
    if wanted and installed and wanted != installed:
        return f"torchvision was built for torch {environment.torchvision_wants_torch}"
    ours, theirs = _platform(environment.torch_build), _platform(environment.torchvision_build)
    if ours and theirs and ours != theirs:
        return f"torch is a {environment.torch_build} build and torchvision a {environment.torchvision_build} build"
    return None


def _cut(version: str) -> str:
    match = re.match(r"\d+\.\d+", version)
    return match[0] if match else ""


def _platform(label: str | None) -> str | None:
    """`cu128` and `cu126` run together, `cu118` and `cu128` do not: the last digit is CUDA's minor version."""
    match = re.fullmatch(r"(cu\d+)\d|([a-z]+).*", label or "")
    return match and (match[1] or match[2])
