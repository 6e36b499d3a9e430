"""A key that is known and still changes nothing in this file.

## What it does
Lists keys that are overruled by another key, switched off by another key, or that belong to a step which the user's
own part (`subject`) or the model's own geometry has replaced.

## Why it matters
The file promises something that does not happen: augmentation that is never applied, an optimizer that is never
built. Comparing two runs that differ only in such a key compares noise.

## Example
```yaml
data:
  preprocessing: {resize: [1024, 1024]}   # the model's own tiling and padding decide the size
```

## Use instead
Delete the key, or say it where it is read:
```yaml
data:
  preprocessing: {base_size: 1024, image_size: 640, crop_mode: true}
```

## References
- docs/reference/configuration.md: what each key does
- `preflight explain CFG001` for keys that nobody knows
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Configuration, Facts, KeyFact
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="CFG002",
    severity=Severity.MAJOR,
    basis=Basis.READ,
    contract="every known key of the YAML file changes something",
    needs=("configuration",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    configuration = known(facts.configuration)
    keys = configuration.ineffective_keys
    if not keys:
        return
    yield DIAGNOSIS.finding(
        f"{count(len(keys), 'key')} of {configuration.source} {'changes' if len(keys) == 1 else 'change'} nothing "
        "here: "
        f"{', '.join(f'`{key.path}`' for key in keys[:5])}. Every key that is given should have an effect.",
        evidence=show_some(f"`{key.path}`: {key.detail or 'nothing reads it'}" for key in keys),
        keys=tuple(key.path for key in keys),
        fix="Delete these keys, or switch on what reads them; the reason stands beside each.",
        severity=min((_weigh(key, configuration) for key in keys), key=lambda severity: severity.rank),
    )


def _weigh(key: KeyFact, configuration: Configuration) -> Severity:
    # Ranges kept beside `enabled: false` are a choice that reads as one; with a collator of the user's own they are not.
    is_switched_off = key.path.startswith("data.augmentation.") and "collator" not in configuration.replaced_parts
    return Severity.NOTE if is_switched_off else Severity.MAJOR
