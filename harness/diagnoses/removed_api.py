"""Your own code uses a name that the installed libraries no longer have.

## What it does
Reads your model loader, collator, adapter step and trainer for imports, keywords and methods that the installed
releases have removed or renamed, and says what took their place.

## Why it matters
Examples on the web are older than the libraries. The call raises ImportError, AttributeError or TypeError when it is
reached, which for an evaluation or saving call is at the end of the first epoch.

## Example
```python
tokenizer.batch_encode_plus(texts)                       # gone in transformers 5
Trainer(model=model, tokenizer=tokenizer)                # now processing_class=
```

## Use instead
```python
tokenizer(texts)
Trainer(model=model, processing_class=tokenizer)
```

## References
- open-compass/VLMEvalKit#1675
- Ucas-HaoranWei/GOT-OCR2.0#313
- huggingface/peft#3333
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places, show_site, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="VER002",
    severity=Severity.BLOCKER,
    basis=Basis.READ,
    contract="the installed libraries have every name that your own code takes from them",
    needs=("subject",),
    explains=("unloadable_model", "failing_collator", "failing_adapter", "failing_step"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    subject = known(facts.subject)
    wrong_for_this_model = _list_unregistered(facts)
    uses = [use for use in subject.absent_names if use.name.rpartition(".")[2] not in wrong_for_this_model]
    if not uses:
        return
    names = tuple(dict.fromkeys(use.name for use in uses))
    replaced = {use.name: use.replacement for use in uses if use.replacement}
    yield DIAGNOSIS.finding(
        f"Your own code uses {', '.join(f'`{name}`' for name in names[:5])}, which the installed releases no longer "
        "have. The code fails at that line.",
        evidence=show_some(f"{show_site(use.site)} [{use.name} -> {use.replacement or 'nothing'}]" for use in uses),
        places=list_places(*(use.site for use in uses)),
        fix="Replace them as below." if replaced else "Remove these uses: nothing took their place.",
        snippet="\n".join(f"{name} -> {replacement}" for name, replacement in replaced.items()),
    )


def _list_unregistered(facts: Facts) -> set[str]:
    """Auto classes that the model does not register in any release: their replacement would not load it either."""
    if isinstance(facts.repository, Unknown) or "AutoConfig" not in facts.repository.auto_map:
        return set()
    used = {use.name.rpartition(".")[2] for use in known(facts.subject).auto_classes}
    return used - set(facts.repository.auto_map)
