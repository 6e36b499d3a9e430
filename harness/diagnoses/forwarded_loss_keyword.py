"""A wrapper invites Trainer's loss keyword and hands it on to a model that refuses it.

## What it does
Asks the installed Trainer whether it would add `num_items_in_batch` to the calls of the user's wrapper, calls the wrapper
with it, and sees whether it arrives at a forward that does not take it.

## Why it matters
Trainer adds the keyword to every model whose forward takes `**kwargs`, expecting it to scale its own loss. A wrapper with
`**batch` looks like such a model. Training stops at the first step; a quick test without Trainer passes.

## Example
```python
class Wrapped(nn.Module):
    def forward(self, **batch):
        return self.model(**batch)
```

## Use instead
Give the wrapper the parameters of the model it holds, or leave it out: PEFT and Trainer need none.

## References
- transformers documentation, Trainer: `model_accepts_loss_kwargs` and `num_items_in_batch`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known
from preflight_ocr.harness.judging.wrappers import excuse_wrapper, find_wrapper

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD011",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="Trainer adds no keyword that a wrapper hands on to a model without it",
    needs=("forward", "adapter"),
    where="a module of your own is wrapped around the model",
    explains=("failing_step", "failing_start"),
    keys=("subject.model", "subject.trainer"),
)


def applies(facts: Facts) -> bool:
    return find_wrapper(facts) is not None


def excuse(facts: Facts) -> str:
    return excuse_wrapper(facts)


def examine(facts: Facts) -> Iterator[Finding]:
    wrapper, keyword = known(find_wrapper(facts)), known(facts.adapter).loss_keyword
    if wrapper is None or keyword is None:
        return
    signature = known(facts.forward).signature
    yield DIAGNOSIS.finding(
        f"Trainer will call {wrapper.class_name} with `{keyword}`, which it hands on to {wrapper.inner_class}; that "
        "forward does not take it.",
        evidence=(f"{wrapper.class_name}.forward takes **kwargs, so Trainer adds `{keyword}`",),
        fix=f"Leave {wrapper.class_name} out, or name its parameters in place of **kwargs.",
        snippet="" if isinstance(signature, Unknown) else _write_forward(wrapper.inner_name, signature.names),
    )


def _write_forward(inner: str, names: tuple[str, ...]) -> str:
    """A forward for the wrapper that takes what the model's takes, and hands on what it was given."""
    taken = _fill((f"{name}=None" for name in names), indent=4)
    handed = _fill((f"{name}={name}" for name in names), indent=8)
    call = f"return self.{inner}(**{{name: value for name, value in given.items() if value is not None}})"
    return f"def forward(\n    self,\n{taken},\n):\n    given = dict(\n{handed},\n    )\n    {call}"


def _fill(words: Iterable[str], *, indent: int) -> str:
    return textwrap.fill(", ".join(words), width=96, initial_indent=" " * indent, subsequent_indent=" " * indent)
