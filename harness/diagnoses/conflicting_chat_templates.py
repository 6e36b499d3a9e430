"""The repository has two chat templates, and your code renders with the one that cannot take a picture.

## What it does
Compares the chat templates in the repository's files, and looks how rendering ended in your collator: with an exception
about a list that was to be joined to text, or with a prompt that spells out the list.

## Why it matters
A tokenizer's template and a processor's template are two files, and nobody keeps them alike. The tokenizer's often expects
the content of a message to be text. A message with a picture has a list of parts instead: the template raises, or it
writes the list as Python would print it and no placeholder for the picture ever comes into the prompt.

## Example
```python
messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Free OCR."}]}]
tokenizer.apply_chat_template(messages)     # can only concatenate str (not "list") to str
```

## Use instead
```python
processor.apply_chat_template(messages)
```

## References
- dots-10 in the project's list of real failures: `tokenizer_config.json` beside `chat_template.json`.
- transformers documentation, "Multimodal chat templates".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Raised
from preflight_ocr.harness.judging.failures import show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import get_rows
from preflight_ocr.harness.judging.wording import known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="PRC008",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="messages are rendered with the chat template that can take them",
    needs=("tokenizer", "collator"),
    where="the repository has chat templates that differ",
    explains=("failing_collator", "mismatched_prompt", "missing_placeholders"),
    keys=("subject.collator",),
)

_JOINED = re.compile(r"can only concatenate str \(not \"(list|dict)\"\) to str|must be str, not (list|dict)")
_PRINTED = re.compile(r"\[\{'(type|text|image)':")


def applies(facts: Facts) -> bool:
    unknown = facts.unknown_on("tokenizer")
    return unknown is not None or len({t.sha256 for t in known(facts.tokenizer).chat_templates}) > 1


def examine(facts: Facts) -> Iterator[Finding]:
    templates = known(facts.tokenizer).chat_templates
    unable = [template.place for template in templates if not template.walks_parts]
    able = [template.place for template in templates if template.walks_parts]
    seen = _find_symptom(facts)
    if not seen or not unable or not able:
        return
    yield DIAGNOSIS.finding(
        f"{known(facts.collator).owner} renders messages with a list of parts, and the chat template it uses takes "
        "text "
        f"only. The repository has another one that takes such lists, in {able[0]}.",
        evidence=(
            *show_some(seen),
            *(f"{t.place}: {'takes a list of parts' if t.walks_parts else 'takes text only'}" for t in templates),
        ),
        fix=f"Render with the processor, or hand the template of {able[0]} to apply_chat_template.",
        snippet="text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)",
    )


def _find_symptom(facts: Facts) -> tuple[str, ...]:
    """How rendering a list with a template for text showed; nothing where it did not."""
    batch = known(facts.collator).batch
    if isinstance(batch, Raised):
        # The template has no file of its own: the last line of the user's is the call that renders.
        here = batch.site is None or "template" in batch.site.code
        return (show_raised(batch),) if here and _JOINED.search(batch.message) else ()
    printed = (n for n, row in enumerate(get_rows(batch)) if _PRINTED.search(row.prompt_text))
    return tuple(f"row {number}: the prompt spells out the list of parts" for number in printed)
