"""A key of the YAML file that nobody reads.

## What it does
Compares every key of the file with the keys that Preflight, `TrainingArguments` and PEFT know.

## Why it matters
A misspelt key changes nothing: the run uses the default and looks as if it had been configured. A learning rate that
is 200 times too small costs a whole run before anybody suspects the spelling.

## Example
```yaml
training: {learning_rte: 3.0e-4}   # trains at the default 5e-5
```

## Use instead
```yaml
training: {learning_rate: 3.0e-4}
```

## References
- transformers, "Trainer": the fields of `TrainingArguments`
- `preflight explain CFG002` for keys that are known and still change nothing
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="CFG001",
    severity=Severity.MAJOR,
    basis=Basis.READ,
    contract="every key of the YAML file is known",
    needs=("configuration",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    configuration = known(facts.configuration)
    keys = configuration.unknown_keys
    if not keys:
        return
    renamed = [f"{key.nearest}:  # in place of {key.path}" for key in keys if key.nearest]
    yield DIAGNOSIS.finding(
        f"{configuration.source} has "
        f"{count(len(keys), 'key that nothing reads; it changes', 'keys that nothing reads; they change')} nothing: "
        f"{', '.join(f'`{key.path}`' for key in keys[:5])}. Every key should be a known one.",
        evidence=show_some(
            f"`{key.path}`" + (f": did you mean `{key.nearest}`?" if key.nearest else ": no known key is close to it")
            for key in keys
        ),
        keys=tuple(key.path for key in keys),
        fix="Rename the keys as below, and delete those that have no known neighbour."
        if renamed
        else "Delete the keys, or look up their right name in docs/reference/configuration.md.",
        snippet="\n".join(renamed),
    )
