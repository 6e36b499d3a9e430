"""A wrapper hands everything on and still returns other logits than the model inside it.

## What it does
Calls the wrapper and the model inside it with the same batch, in evaluation mode, and compares the logits. A wrapper that
loses an input is another defect.

## Why it matters
What is trained is the model behind the wrapper's change; what is saved and used later is the model without it. The adapter
then makes up for something that is no longer there, and no log shows it.

## Example
```python
def forward(self, **batch):
    output = self.model(**batch)
    output.logits = output.logits / self.temperature
    return output
```

## Use instead
Train the model itself. Scale, smooth or weight in the loss, in a subclass of Trainer, and leave the logits alone.

## References
- transformers documentation, `Trainer.compute_loss`: the place for a loss of one's own.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known
from preflight_ocr.harness.judging.wrappers import excuse_wrapper, find_wrapper

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD013",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="the wrapper returns the logits of the model inside it",
    needs=("forward", "adapter"),
    where="a module of your own is wrapped around the model",
    keys=("subject.model", "subject.peft"),
)


def applies(facts: Facts) -> bool:
    return find_wrapper(facts) is not None


def excuse(facts: Facts) -> str:
    wrapper = find_wrapper(facts)
    if wrapper is None or isinstance(wrapper, Unknown):
        return excuse_wrapper(facts)
    return wrapper.same_outputs.reason if isinstance(wrapper.same_outputs, Unknown) else ""


def examine(facts: Facts) -> Iterator[Finding]:
    wrapper = known(find_wrapper(facts))
    if wrapper is None or wrapper.dropped or wrapper.same_outputs is not False:
        return
    yield DIAGNOSIS.finding(
        f"{wrapper.class_name} hands the whole batch on to {wrapper.inner_class} and returns other logits; expected "
        "the same.",
        evidence=("one batch, evaluation mode, the wrapper and the model inside it",),
        fix=f"Train {wrapper.inner_class} itself, and put what the wrapper does into the loss.",
        snippet="class OwnTrainer(Trainer):\n    def compute_loss(self, model, inputs, return_outputs=False, **kwargs): ...",
    )
