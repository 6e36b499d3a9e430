"""A name that the model's own code imports and that the installed library no longer has.

## What it does
Resolves every `from package import name` of the remote code against the installed package's source, without running
either. Imports under `try` or `if` are left out.

## Why it matters
Remote code is written against one window of library releases. Outside of it loading stops with "cannot import name
...", and behind the first such name there are often more, so that installing by trial and error takes a day.

## Example
```python
from transformers.models.llama.modeling_llama import LlamaFlashAttention2   # gone since transformers 4.48
```

## Use instead
Install a release inside the code's window, the one its model card names:
```bash
pip install "transformers==4.46.3"
```

## References
- deepseek-ai/DeepSeek-OCR#7
- deepseek-ai/DeepSeek-OCR#182
- deepseek-ai/DeepSeek-OCR#302
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Import, Site, Unknown
from preflight_ocr.harness.judging.failures import excuse_unread_code
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="VER001",
    severity=Severity.BLOCKER,
    basis=Basis.READ,
    contract="the installed libraries have every name that the model's own code imports",
    needs=("repository",),
    explains=("unloadable_model", "failing_forward"),
)


def excuse(facts: Facts) -> str:
    return excuse_unread_code(facts, examine(facts))


def examine(facts: Facts) -> Iterator[Finding]:
    repository = known(facts.repository)
    missing = [i for i in repository.imports if i.status in ("missing name", "missing module") and not i.conditional]
    if not missing:
        return
    packages = tuple(dict.fromkeys(i.module.partition(".")[0] for i in missing))
    installed = {} if isinstance(facts.environment, Unknown) else facts.environment.packages
    versions = ", ".join(f"{package} {installed.get(package, '(version unknown)')}" for package in packages)
    symbols = tuple(dict.fromkeys(i.name or i.module for i in missing))
    yield DIAGNOSIS.finding(
        f"The model's own code imports {count(len(symbols), 'name')} that the installed {versions} "
        f"{'does' if len(packages) == 1 else 'do'} not have: {', '.join(symbols[:5])}. The model cannot be loaded.",
        evidence=show_some(map(_show, missing)),
        places=tuple(Site(file=i.file, line=i.line, code=_quote(i), kind="", runs=None) for i in missing),
        fix=f"Install a release of {' and '.join(packages)} that still has these names; the model card says which one "
        "the code was written for.",
        snippet="\n".join(f'pip install "{package}==THE_RELEASE_ON_THE_MODEL_CARD"' for package in packages),
    )


def _show(missing: Import) -> str:
    return f"{missing.file}:{missing.line}: {_quote(missing)}" + (f" ({missing.detail})" if missing.detail else "")


def _quote(missing: Import) -> str:
    return f"from {missing.module} import {missing.name}" if missing.name else f"import {missing.module}"
