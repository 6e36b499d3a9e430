"""The output head is packed in 4 or 8 bits.

## What it does
Looks for the layer that `get_output_embeddings` names, and whether its kind computes with packed weights.

## Why it matters
Every logit comes from the head, so that its rounding is in all of them, and no later layer evens it out. transformers
leaves the head out by itself, but only as long as no skip list is given: a list that names the vision tower alone takes the
place of that choice. Where the head is tied to the embeddings, its layer then finds an ordinary weight, and forward ends
with an AssertionError that has no words.

## Example
```python
BitsAndBytesConfig(load_in_4bit=True, llm_int8_skip_modules=["model.visual"])
```

## Use instead
```python
BitsAndBytesConfig(load_in_4bit=True, llm_int8_skip_modules=["model.visual", "lm_head"])
```

## References
- huggingface/transformers#45674, unslothai/unsloth#4209
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Raised, Unknown
from preflight_ocr.harness.judging.failures import show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DTY011",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="the output head is not quantised",
    needs=("adapter.quantised",),
    explains=("failing_forward", "failing_batch", "failing_step", "failing_evaluation", "worse_than_guessing"),
    where="the model has packed weights",
    keys=("model.quantization.llm_int8_skip_modules", "subject.model"),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.adapter, Unknown) or facts.adapter.quantised is not None


def examine(facts: Facts) -> Iterator[Finding]:
    found = known(known(facts.adapter).quantised)
    if found is None or not found.head:
        return
    is_ordinary = found.head in found.unpacked
    raised = None if isinstance(facts.forward, Unknown) else facts.forward.reference
    yield DIAGNOSIS.finding(
        f"The output head {found.head} is a layer for packed weights"
        + (", and its weight is an ordinary one, tied to the embeddings: forward cannot run." if is_ordinary else "."),
        evidence=(
            f"packed as {', '.join(found.formats)}: {', '.join(f'{n} in {part}' for part, n in found.parts.items())}",
            *((show_raised(raised),) if is_ordinary and isinstance(raised, Raised) else ()),
        ),
        fix="Name the head in the skip list beside what it names now. A list takes the place of the library's own choice.",
        snippet=f"llm_int8_skip_modules: [..., {found.head}]",
        severity=Severity.BLOCKER if is_ordinary else Severity.MAJOR,
    )
