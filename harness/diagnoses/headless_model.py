"""The loaded class has no language-model head.

## What it does
Calls forward and looks at what it returns; a model that is trained on text returns a loss or logits. A run whose own
trainer makes a loss of something else is left alone.

## Why it matters
`AutoModel` gives the architecture without its head. It takes `labels`, where its forward takes any keyword, and has no
loss to give for them. PEFT's CAUSAL_LM wrapper then asks for `prepare_inputs_for_generation`, which only a class with a
head has, and the exception names that method and not the class.

## Example
```python
model = AutoModel.from_pretrained("Qwen/Qwen2-VL-2B-Instruct")
```

## Use instead
```python
model = AutoModelForImageTextToText.from_pretrained("Qwen/Qwen2-VL-2B-Instruct")
```

## References
- huggingface/transformers#39007
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD018",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="forward returns a loss or logits",
    needs=("forward.returned",),
    explains=("failing_adapter", "failing_step", "failing_generate", "failing_start"),
    keys=("subject.model", "model.base_model"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    forward = known(facts.forward)
    returned = known(forward.returned)
    if {"loss", "logits"} & set(returned) or _makes_a_loss(facts):
        return
    named = () if isinstance(facts.repository, Unknown) else facts.repository.architectures
    wanted = next((name for name in named if name != forward.model_class), "")
    expected = f", which config.json names as {wanted}" if wanted else ""
    yield DIAGNOSIS.finding(
        f"{forward.model_class} has no language-model head: its forward returns {', '.join(returned)}, and neither a loss "
        f"nor logits. Expected the class with a head{expected}.",
        fix="Load the class with the head; AutoModel gives the one without.",
        snippet=f"from transformers import {wanted}\n\nmodel = {wanted}.from_pretrained(base_model)"
        if wanted
        else "model = AutoModelForImageTextToText.from_pretrained(base_model)",
    )


def _makes_a_loss(facts: Facts) -> bool:
    """Whether the run's own step went through: a trainer may compute its loss from whatever forward returns."""
    return not isinstance(facts.rehearsal, Unknown) and facts.rehearsal.step == "done"
