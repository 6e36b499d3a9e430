"""Foreign code took its process down.

## What it does
Every piece of foreign code runs in a child process of its own with limits on time, memory and output. This reports
the children that did not come back: a crash of the interpreter, `os._exit`, an endless loop, a halt, memory or output
without end. It also reports an answer of a wrong form, which our probes never give: foreign code has then changed what
they return.

## Why it matters
In training the same code would end the run without a traceback, or fill the machine's memory. What stands behind the
place could not be looked at, so no verdict about it is possible.

## Example
```python
os._exit(0)     # in a collator: no exception, no message, the process is gone
```

## Use instead
Find the place with the part's own input and a debugger, or with
```bash
python -X faulthandler your_script.py
```

## References
- Python, "faulthandler: Dump the Python traceback"
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="SEC003",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="foreign code comes back from every call",
    needs=(),
    keys=("model.trust_remote_code",),
)

_RUN = ("processor", "collator", "forward", "adapter", "learning", "memory")


def excuse(facts: Facts) -> str:
    sections = [getattr(facts, name) for name in _RUN]
    if any(not isinstance(section, Unknown) or _is_death(section) for section in sections):
        return ""
    return f"no foreign code was run: {sections[0].reason}"


def examine(facts: Facts) -> Iterator[Finding]:
    deaths: dict[str, list[str]] = {}
    for path, unknown in _walk(facts, ()):
        if _is_death(unknown):
            deaths.setdefault(unknown.reason, []).append(path)
    # One child that dies leaves the same reason in every section that it should have filled: that is one cause.
    for reason, paths in deaths.items():
        yield DIAGNOSIS.finding(
            f"{reason[:1].upper()}{reason[1:].rstrip('.')}. Every call into foreign code should return or raise.",
            evidence=(reason, *show_some(f"left unknown: {path}" for path in paths)),
            fix="Run that part alone under faulthandler to see where it ends; do not train with it before it returns.",
            snippet="python -X faulthandler your_script.py",
        )


def _is_death(unknown: Unknown) -> bool:
    return unknown.cause == "foreign code died"


def _walk(value: object, path: tuple[str, ...]) -> Iterator[tuple[str, Unknown]]:
    if isinstance(value, Unknown):
        yield ".".join(path), value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _walk(getattr(value, name), (*path, name))
