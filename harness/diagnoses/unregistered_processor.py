"""AutoProcessor is asked before the module that registers the processor was imported.

## What it does
Follows every call of `AutoProcessor.from_pretrained` in your loader and collator while they really run, and compares what
each call got with what the same call gets once the model's configuration was loaded.

## Why it matters
Some repositories register their processor as a side effect of importing the configuration's module. Before that,
`AutoProcessor` knows no processor for the model and returns the tokenizer without a word. Images handed to it are ignored or
end in a message about text, and whether it happens depends on the order of two lines.

## Example
```python
processor = AutoProcessor.from_pretrained(path, trust_remote_code=True)     # a tokenizer
model = AutoModelForCausalLM.from_pretrained(path, trust_remote_code=True)  # from here on it would be a processor
```

## Use instead
```python
AutoConfig.from_pretrained(path, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(path, trust_remote_code=True)
```

## References
- dots-07 in the project's list of real failures.
- transformers documentation, "Auto Classes": `AutoProcessor.register`.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places, show_site, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="PRC007",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the processor is opened after the module that registers it was imported",
    needs=("forward", "processor.registered"),
    where="importing the configuration's module registers a processor",
    explains=("failing_collator", "tokenizer_as_processor"),
    keys=("subject.collator",),
)


def applies(facts: Facts) -> bool:
    if isinstance(facts.processor, Unknown) or isinstance(facts.processor.registered, Unknown):
        return True
    return facts.processor.registered.returned == "processor"


def examine(facts: Facts) -> Iterator[Finding]:
    registered = known(known(facts.processor).registered)
    early = [call for call in known(facts.forward).processor_calls if call.returned == "tokenizer"]
    if not early or registered.returned != "processor":
        return
    yield DIAGNOSIS.finding(
        f"Your code calls AutoProcessor before the model's configuration was loaded and gets a tokenizer "
        f"({early[0].class_name}); the same call gives a {registered.class_name} afterwards.",
        evidence=show_some(show_site(call.site) for call in early if call.site is not None),
        places=list_places(*(call.site for call in early)),
        fix="Load the configuration, or the model, before the processor.",
        snippet="AutoConfig.from_pretrained(base_model, trust_remote_code=True)\n"
        "processor = AutoProcessor.from_pretrained(base_model, trust_remote_code=True)",
    )
