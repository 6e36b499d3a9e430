"""A model that comes with its own Python code, or parts of the user's own, and no permission to run them.

## What it does
Sees that the model directory's `auto_map` points at Python files, or that `subject` names parts of the user's own, and
that nobody said they are trusted.

## Why it matters
Such a model can only be loaded by running the repository's code, which can do anything your account can. Preflight
never runs it without being told to; until then every check that has to run the model is skipped, and training cannot
load it either.

## Example
```yaml
model: {base_model: deepseek-ai/DeepSeek-OCR}
```

## Use instead
Read the code, pin the commit you read, then:
```yaml
model: {base_model: deepseek-ai/DeepSeek-OCR, revision: FULL_COMMIT_HASH, trust_remote_code: true}
```

## References
- transformers, "Loading models with remote code": `trust_remote_code`
- `preflight explain SEC001`, `preflight explain SEC002`
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="CFG007",
    severity=Severity.BLOCKER,
    basis=Basis.READ,
    contract="the model's own code may be run",
    needs=("configuration", "repository"),
    explains=("unloadable_model",),
    keys=("model.trust_remote_code",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    configuration, repository = known(facts.configuration), known(facts.repository)
    foreign = repository.has_remote_code or configuration.replaced_parts
    if not foreign or configuration.trust_remote_code:
        return
    if not all(isinstance(section, Unknown) for section in (facts.processor, facts.collator, facts.forward)):
        return  # it was run, so somebody trusted it on the command line
    code = [name for name in repository.files if name.endswith(".py")]
    seen = (
        f"{configuration.base_model} can only be loaded by running its own Python code"
        if repository.has_remote_code
        else f"subject names your own {', '.join(configuration.replaced_parts)}"
    )
    yield DIAGNOSIS.finding(
        f"{seen}, and trust_remote_code is not set: nothing that runs it could be checked, and nothing may be trained.",
        evidence=(f"code in {repository.path}: {', '.join(code[:5])}",) if code else (),
        fix="Read the code. If you trust it, say so in the YAML file, or once with --trust on the command line.",
        snippet="model:\n  trust_remote_code: true",
    )
