"""A setting of the generation configuration keeps the model from writing what it knows.

## What it does
Lets the model write a row that it knows by heart twice: with settings that change no token's score, and with those of its
own generation configuration, still greedily. Where only the second departs, each setting is tried alone.

## Why it matters
generation_config.json travels with the model, and everybody who loads it generates with it. A least length keeps it from
stopping, a penalty for repetition changes texts that repeat themselves (tables, forms), suppressed tokens are never written.
The error rate that is then measured is that of the settings.

## Example
```json
{"min_length": 56, "no_repeat_ngram_size": 3}
```

## Use instead
```python
model.generation_config.min_length = 0
model.generation_config.no_repeat_ngram_size = 0
```

## References
- transformers documentation, `GenerationConfig`.
- deepseek-ai/DeepSeek-OCR: its own inference forbids repeated n-grams in a window, which tables may need.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import NEUTRAL_SETTINGS, Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRN010",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="the generation settings let the model write what it knows",
    law="memorise and read",
    needs=("learning.recital",),
    keys=("subject.model",),
)


def excuse(facts: Facts) -> str:
    recital = known(known(facts.learning).recital)
    if recital.read != recital.wanted:
        return "without any setting the model does not write what it knows either"
    return recital.hindering.reason if isinstance(recital.hindering, Unknown) else ""


def examine(facts: Facts) -> Iterator[Finding]:
    recital = known(known(facts.learning).recital)
    hindering = () if isinstance(recital.hindering, Unknown) else recital.hindering
    if not hindering:
        return
    names = [setting.partition(":")[0] for setting in hindering]
    yield DIAGNOSIS.finding(
        f"With `{', '.join(hindering)}` of its generation configuration the model does not write row {recital.row}, which "
        f"it knows by heart: {recital.text!r}. Without, it does.",
        evidence=hindering,
        fix="Take the setting out of generation_config.json, or set it back after loading, for training and for reading.",
        snippet="\n".join(f"model.generation_config.{name} = {NEUTRAL_SETTINGS[name]!r}" for name in names),
    )
