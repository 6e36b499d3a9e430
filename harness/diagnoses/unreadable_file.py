"""A file of the model or of the rows that cannot be parsed or decoded, or rows in no form that is known.

## What it does
Reads the JSON files of the model, the rows of `data.train_path`, `val_path` and `test_path` in every form that is known
(JSON, JSON Lines, CSV, parquet, what `save_to_disk` writes), parses the Python files that loading the model would run, and
holds the headers of safetensors files to their sizes.

## Why it matters
Whatever such a file says is unknown, to this check and to the run: loading stops at it, or falls back to a default without a
word.

## Example
```text
data/train/metadata.json:812: broken JSON: Expecting ',' delimiter (column 4)
```

## Use instead
Fetch or export the file again; save text as UTF-8. A Python file that does not parse needs another interpreter, or was cut.

## References
- RFC 8259, section 8.1: JSON between systems is UTF-8
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="CFG008",
    severity=Severity.BLOCKER,
    basis=Basis.READ,
    contract="every file of the model and of the rows can be parsed",
    needs=(),
    explains=("unloadable_model", "failing_collator"),
    keys=("model.base_model", "data.train_path"),
)

_SECTIONS = ("repository", "tokenizer", "processor_files", "dataset")


def excuse(facts: Facts) -> str:
    if _list_unreadable(facts):
        return ""
    sections = (getattr(facts, name) for name in _SECTIONS)
    return next((section.reason for section in sections if isinstance(section, Unknown)), "")


def examine(facts: Facts) -> Iterator[Finding]:
    unreadable = _list_unreadable(facts)
    if unreadable:
        yield DIAGNOSIS.finding(
            f"{unreadable[0]}.",
            evidence=show_some(unreadable),
            fix="Fetch or export the file again, text as UTF-8; write rows of another form in one that is known.",
        )


def _list_unreadable(facts: Facts) -> tuple[str, ...]:
    sections = (getattr(facts, name) for name in _SECTIONS)
    reasons = [s.reason for s in sections if isinstance(s, Unknown) and s.cause == "unreadable file"]
    if not isinstance(facts.repository, Unknown):
        reasons += facts.repository.unread_code
        weights = facts.repository.weights_bytes
        reasons += [weights.reason] if isinstance(weights, Unknown) and weights.cause == "unreadable file" else []
    return tuple(dict.fromkeys(reasons))
