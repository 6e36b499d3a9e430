"""An entry of the skip list keeps nothing from being packed.

## What it does
Takes the model's own `llm_int8_skip_modules` and looks for layers with packed weights under each entry's name.

## Why it matters
Releases match the entries differently. Up to transformers 4 `visual` was found anywhere in a module's name; since 5
an entry has to match from the beginning of the name, or its end, so that `visual` no longer keeps `model.visual.blocks.0`.
Nothing is said about it, and the part that was to be left alone is packed.

## Example
```python
BitsAndBytesConfig(load_in_4bit=True, llm_int8_skip_modules=["visual", "lm_head"])   # transformers 5
```

## Use instead
```python
BitsAndBytesConfig(load_in_4bit=True, llm_int8_skip_modules=["model.visual", "lm_head"])
```

## References
- transformers, `quantizers_utils.should_convert_module`
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DTY014",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="what the skip list names is not quantised",
    needs=("adapter.quantised",),
    explains=("quantised_vision",),
    where="the model has packed weights",
    keys=("model.quantization.llm_int8_skip_modules", "subject.model"),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.adapter, Unknown) or facts.adapter.quantised is not None


def examine(facts: Facts) -> Iterator[Finding]:
    found = known(known(facts.adapter).quantised)
    if found is None or not found.unheeded:
        return
    names = ", ".join(f"`{entry}`" for entry in found.unheeded)
    yield DIAGNOSIS.finding(
        f"The skip list names {names}, and layers under {'that name' if len(found.unheeded) == 1 else 'these names'} are "
        f"packed as {', '.join(found.formats)} all the same: the installed transformers matches an entry from the "
        "beginning of a module's name.",
        evidence=(f"packed layers: {', '.join(f'{n} in {part}' for part, n in found.parts.items())}",),
        fix="Write the entry as `model.named_modules()` calls the module, from the beginning.",
        snippet=f"llm_int8_skip_modules: [{', '.join(filter(None, (*found.unheeded.values(), found.output)))}]",
    )
