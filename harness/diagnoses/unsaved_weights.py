"""Weights are trained and not saved.

## What it does
After the training steps, looks for the numbers of every parameter that moved in the file that the adapter was saved to.
Names differ between the two, so the numbers are compared.

## Why it matters
`save_pretrained` of a PEFT model writes the adapter and what `modules_to_save` names. A module that was only set to
`requires_grad=True` is trained along, and the adapter learns to work with it. It is then loaded onto the module as it was
before: the run ends well, and what is loaded reads badly.

## Example
```python
model = get_peft_model(model, lora_config)
for parameter in model.model.multi_modal_projector.parameters():
    parameter.requires_grad = True                                   # trained, and in no file
```

## Use instead
```python
lora_config = LoraConfig(..., modules_to_save=["multi_modal_projector"])
```

## References
- haotian-liu/LLaVA#784.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="SAV004",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="what is trained is saved",
    law="saved equals trained",
    needs=("learning.unsaved",),
    explains=("lost_adapter",),
    keys=("lora.modules_to_save", "subject.peft"),
)


def excuse(facts: Facts) -> str:
    if isinstance(facts.configuration, Unknown) or "trainer" not in facts.configuration.replaced_parts:
        return ""
    return "the trainer is your own and may save more than save_pretrained does"


def examine(facts: Facts) -> Iterator[Finding]:
    unsaved = known(known(facts.learning).unsaved)
    if not unsaved:
        return
    modules = tuple(dict.fromkeys(_name_module(name) for name in unsaved))
    yield DIAGNOSIS.finding(
        f"{count(len(unsaved), 'trained parameter is', 'trained parameters are')} not in the saved file; expected each of "
        "them there.",
        evidence=show_some(unsaved),
        fix="Name their modules in modules_to_save, or freeze them.",
        snippet=f"lora:\n  modules_to_save: [{', '.join(modules[:5])}]",
    )


def _name_module(name: str) -> str:
    """The first part of a dotted name that is no container: what a person would put into modules_to_save."""
    parts = [part for part in name.split(".") if part not in ("base_model", "model", "base_layer")]
    return parts[0]
