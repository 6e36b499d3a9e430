"""The model could not be loaded.

## What it does
Quotes the exception that the user's loader, or loading the model directory, ended with, and where it was raised.
Where its cause is known by itself (a missing package, a name the installed release lost), that cause is reported
instead.

## Why it matters
Nothing can be trained, and nothing that needs the model could be looked at.

## Example
`Unrecognized configuration class ... for this kind of AutoModel`.

## Use instead
Follow the quoted line of code. `preflight check --level read` shows what can be told without loading.

## References
- transformers documentation, Auto classes: `trust_remote_code` and `auto_map`.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.failures import excuse_closed, is_out_of_memory, show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places, show_site

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD005",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the model loads",
    needs=("forward",),
    explains=("failing_forward", "failing_batch", "failing_adapter", "failing_step"),
    keys=("subject.model",),
)


def excuse(facts: Facts) -> str:
    """What does not fit here may well fit where it is trained."""
    raised = known(facts.forward).loading
    if closed := excuse_closed(raised):
        return closed
    if raised is None or not is_out_of_memory(raised.type, raised.message):
        return ""
    return f"loading takes more memory than a child may use on this machine: {show_raised(raised)}"


def examine(facts: Facts) -> Iterator[Finding]:
    raised = known(facts.forward).loading
    if raised is None or is_out_of_memory(raised.type, raised.message):
        return
    where = f" Start at {raised.site.file}:{raised.site.line}." if raised.site else ""
    yield DIAGNOSIS.finding(
        f"Loading the model ended with {show_raised(raised)}; expected a model.",
        fix=f"Make the loader work by itself first.{where}",
        evidence=(show_site(raised.site),) if raised.site else (),
        places=list_places(raised),
    )
