"""Your code generates text with the model, and the model's `generate` fails under the installed releases.

## What it does
Lets the model write two tokens from prompts as they should be, and looks whether your own code calls `generate`.

## Why it matters
Remote code outlives the library it was written for in pieces: forward and training still work when the cache that
generation uses does not. The run ends well, and the first look at what was learnt fails, hours later.

## Example
`'DynamicCache' object has no attribute 'get_max_length'`: DeepSeek-OCR with transformers 4.51.

## Use instead
A release that the model's code was written for (`preflight window` names it), or decoding with forward alone, as
`run-training` does for its own scores.

## References
- deepseek-ai/DeepSeek-OCR#7
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Raised, Unknown
from preflight_ocr.harness.judging.failures import show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD016",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="the model generates where your code asks it to",
    needs=("subject", "forward"),
    where="your own code calls generate",
)


def applies(facts: Facts) -> bool:
    return bool(getattr(facts.subject, "generate_calls", True))


def excuse(facts: Facts) -> str:
    ended = known(facts.forward).generation
    return ended.reason if isinstance(ended, Unknown) else ""


def examine(facts: Facts) -> Iterator[Finding]:
    calls, ended = known(facts.subject).generate_calls, known(facts.forward).generation
    if not calls or not isinstance(ended, Raised):
        return
    yield DIAGNOSIS.finding(
        f"`generate` ended with {show_raised(ended)}; expected text.",
        places=list_places(*calls, ended),
        evidence=show_some(f"{site.file}:{site.line}: {site.code}" for site in calls),
        fix="Decode without a cache (slower), or use a release of transformers that the model's code was written for.",
        snippet="model.generate(**batch, use_cache=False)",
    )
