"""A wrapper around the model takes inputs and never hands them on.

## What it does
Calls the user's wrapper with a marked batch and looks which keywords arrive at the inner model's forward. Only
keywords that the batch has or the image path needs count; a wrapper may well drop `use_cache`.

## Why it matters
A forward with `**kwargs` that passes on a fixed list raises nothing by itself. The model then fails deep inside on
a None, or, worse, trains on text alone.

## Example
`def forward(self, input_ids, labels, **kwargs): return self.model(input_ids=input_ids, labels=labels)`

## Use instead
No wrapper: the right PEFT task type makes it unnecessary. If it has to stay, name every argument and pass each one
on.

## References
- chain-05, dots-05 in the project's list of real failures.
- PEFT documentation, `TaskType.CAUSAL_LM`: keywords are passed through to the base model.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Batch, Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known
from preflight_ocr.harness.judging.wrappers import excuse_wrapper, find_wrapper

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD003",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the wrapper hands every input on to the model",
    needs=("forward", "adapter", "collator"),
    where="a module of your own is wrapped around the model",
    # The wrapper goes away with this finding's fix, and what it does to the adapter's keys goes with it.
    explains=(
        "failing_batch",
        "failing_step",
        "unseen_image",
        "unheard_text",
        "wrapped_before_adapter",
        "flat_loss",
        "untrainable_vision_adapters",
    ),
    keys=("subject.model", "subject.peft"),
)


def applies(facts: Facts) -> bool:
    return find_wrapper(facts) is not None


def excuse(facts: Facts) -> str:
    return excuse_wrapper(facts)


def examine(facts: Facts) -> Iterator[Finding]:
    wrapper, collator = known(find_wrapper(facts)), known(facts.collator)
    if wrapper is None:
        return
    needed = set(collator.roles)
    for batch in (collator.batch, collator.reference):
        needed |= set(batch.keys) if isinstance(batch, Batch) else set()
    if known(facts.forward).given == "ok":
        needed.discard("labels")  # a wrapper may compute the loss itself
    lost = [name for name in wrapper.dropped if name in needed]
    if not lost:
        return
    names = ", ".join(f"`{name}`" for name in lost)
    yield DIAGNOSIS.finding(
        f"{wrapper.class_name} accepts {names} and does not hand them on to {wrapper.inner_class}.",
        fix=f"Train {wrapper.inner_class} without the wrapper, or let its forward pass {names} on.",
        snippet="self.model(..., " + ", ".join(f"{name}={name}" for name in lost) + ")",
        evidence=tuple(f"{name}: {collator.roles.get(name, 'in the batch')}, never reaches the model" for name in lost),
    )
