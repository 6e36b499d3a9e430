"""A package that the model's own code imports and that is not installed.

## What it does
Reads every import of the remote code and looks the package up among the installed ones. Imports under `try` or `if`
are left out: the code can do without them.

## Why it matters
Loading stops with "This modeling file requires the following packages that were not found in your environment", one
package at a time if you are unlucky, each on the machine that is already paid for.

## Example
```python
from easydict import EasyDict      # in the model's modeling_*.py, and easydict is not installed
```

## Use instead
```bash
pip install easydict
```

## References
- deepseek-ai/DeepSeek-OCR#287
- huggingface/transformers#28459
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Site
from preflight_ocr.harness.judging.failures import excuse_unread_code
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="ENV004",
    severity=Severity.BLOCKER,
    basis=Basis.READ,
    contract="every package that the model's own code imports is installed",
    needs=("repository",),
    explains=("unloadable_model",),
)

_DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "yaml": "pyyaml",
    "sklearn": "scikit-learn",
    "fitz": "pymupdf",
}


def excuse(facts: Facts) -> str:
    return excuse_unread_code(facts, examine(facts))


def examine(facts: Facts) -> Iterator[Finding]:
    missing = [i for i in known(facts.repository).imports if i.status == "missing package" and not i.conditional]
    if not missing:
        return
    packages = dict.fromkeys(i.module.partition(".")[0] for i in missing)
    install = " ".join(_DISTRIBUTIONS.get(package, package) for package in packages)
    yield DIAGNOSIS.finding(
        f"The model's own code imports {', '.join(packages)}, which {'is' if len(packages) == 1 else 'are'} not "
        "installed. The model cannot be loaded without.",
        evidence=show_some(f"{i.file}:{i.line} imports {i.module}" for i in missing),
        places=tuple(Site(file=i.file, line=i.line, code=f"imports {i.module}", kind="", runs=None) for i in missing),
        fix="Install what is missing.",
        snippet=f"pip install {install}",
    )
