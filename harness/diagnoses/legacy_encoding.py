"""Text that is not ASCII, and a file or console opened in a legacy code page.

## What it does
When the rows hold more than ASCII, looks for `open()` calls without `encoding="utf-8"` in your own parts on a machine
whose default is not UTF-8, for calls that name a legacy code page, and for a standard output that is not UTF-8.

## Why it matters
Windows opens files in a regional code page unless told otherwise. The first Cyrillic letter that is logged or printed
raises UnicodeEncodeError, hours into the run; or it is written as question marks and nobody notices.

## Example
```python
open("train.log", "w").write(prediction)      # cp1252 on many machines
```

## Use instead
```python
open("train.log", "w", encoding="utf-8").write(prediction)
sys.stdout.reconfigure(encoding="utf-8")
```

## References
- Python, PEP 597 "Add optional EncodingWarning" and PEP 540 "Add a new UTF-8 Mode"
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Raised, Unknown
from preflight_ocr.harness.judging.failures import UNICODE_ERRORS
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places, show_site, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="ENV002",
    severity=Severity.MAJOR,
    basis=Basis.READ,
    contract="every text that is written can hold the rows' letters",
    needs=("environment", "dataset", "subject"),
    where="a row's text has letters beyond ASCII",
)

_STAGES = ("trainer", "optimizer", "step", "evaluation", "checkpoint", "saving", "processor")
_UNICODE = {"utf-8", "utf-8-sig", "utf-7", "utf-16", "utf-32"}


def applies(facts: Facts) -> bool:
    return isinstance(facts.dataset, Unknown) or not facts.dataset.text_is_ascii


def examine(facts: Facts) -> Iterator[Finding]:
    environment, subject = known(facts.environment), known(facts.subject)
    default_is_legacy = _is_legacy(environment.text_encoding)
    sites = [s for s in subject.files_without_utf8 if default_is_legacy or s.kind.startswith("legacy")]
    console = _is_legacy(environment.stdout_encoding)
    if not sites and not console:
        return
    places = [f"your code at {show_site(sites[0])}"] if sites else []
    places += [f"the standard output ({environment.stdout_encoding})"] if console else []
    yield DIAGNOSIS.finding(
        f"The rows hold letters beyond ASCII, and not every text is written as UTF-8: {' and '.join(places)}. The "
        "first such letter raises UnicodeEncodeError or is lost.",
        evidence=(
            f"open() without encoding= uses {environment.text_encoding}",
            f"standard output is {environment.stdout_encoding}",
            *show_some(show_site(site) for site in sites),
        ),
        places=list_places(*sites),
        fix='Name encoding="utf-8" at every open(), and start Python in UTF-8 mode.',
        snippet='open(path, "w", encoding="utf-8")\n\n# in the shell; Windows: set PYTHONUTF8=1\nexport PYTHONUTF8=1',
        severity=_choose_severity(facts, has_own_code=bool(sites or subject.parts)),
    )


def _choose_severity(facts: Facts, *, has_own_code: bool) -> Severity | None:
    """What was seen to end the rehearsed run will end the real one."""
    if not isinstance(facts.rehearsal, Unknown):
        run = facts.rehearsal
        callbacks = () if isinstance(run.callbacks, Unknown) else tuple(failed.raised for failed in run.callbacks)
        ended = (*(getattr(run, stage) for stage in _STAGES), *callbacks)
        if any(isinstance(one, Raised) and one.type in UNICODE_ERRORS for one in ended):
            return Severity.BLOCKER
    return None if has_own_code else Severity.MINOR


def _is_legacy(name: str) -> bool:
    """Whether this names a text encoding that cannot hold every letter."""
    try:
        codec = codecs.lookup(name)
    except LookupError:
        return False
    return codec.name.removesuffix("-le").removesuffix("-be") not in _UNICODE
