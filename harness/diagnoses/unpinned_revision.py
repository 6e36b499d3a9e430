"""Code from the hub that is not pinned to a commit.

## What it does
For a model that is fetched from the hub and brings its own code, looks whether `model.revision` is a full commit
hash.

## Why it matters
A branch name, a tag or nothing at all means "whatever is there on that day". Tomorrow the same YAML may run other
code with your rights, or load other weights, and the run cannot be repeated.

## Example
```yaml
model: {base_model: deepseek-ai/DeepSeek-OCR, trust_remote_code: true}
```

## Use instead
```yaml
model: {base_model: deepseek-ai/DeepSeek-OCR, trust_remote_code: true, revision: FULL_40_DIGIT_COMMIT_HASH}
```

## References
- uv-scripts-for-ai#77
- transformers, "Loading models with remote code": pinning a revision
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="SEC001",
    severity=Severity.MAJOR,
    basis=Basis.READ,
    contract="code from the hub is pinned to a commit",
    needs=("configuration",),
    where="the model comes from the hub",
    keys=("model.revision",),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.configuration, Unknown) or not facts.configuration.is_local


def examine(facts: Facts) -> Iterator[Finding]:
    configuration = known(facts.configuration)
    if not isinstance(facts.repository, Unknown) and not facts.repository.has_remote_code:
        return
    revision = configuration.revision
    if revision and re.fullmatch(r"[0-9a-fA-F]{40}", revision):
        return
    seen = f"revision is {revision!r}, which can move" if revision else "no revision is given"
    here = "" if isinstance(facts.repository, Unknown) else _find_commit(facts.repository.path)
    yield DIAGNOSIS.finding(
        f"{configuration.base_model} comes from the hub with code of its own, and {seen}. It should be a commit hash "
        "of 40 digits.",
        evidence=(f"base_model: {configuration.base_model}", f"revision: {revision}"),
        fix="Pin the commit that lies on this machine, once you have read its code."
        if here
        else "Copy the hash of the commit you have read from the repository's history on the hub.",
        snippet=f"model:\n  base_model: {configuration.base_model}\n  revision: {here or 'THE_FULL_40_DIGIT_COMMIT_HASH'}",
    )


def _find_commit(path: str) -> str:
    """The commit of a folder in the Hub's cache (snapshots/COMMIT); empty for any other folder."""
    *_, above, name = ("", *PurePath(path).parts)
    return name if above == "snapshots" and re.fullmatch(r"[0-9a-f]{40}", name) else ""
