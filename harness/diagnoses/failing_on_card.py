"""A training step that runs on the CPU stops on the card.

## What it does
Moves the model and a batch onto the card as Trainer does, takes an optimizer step as the YAML asks for it and in the
other usual precisions, and generates two tokens. What stops in all of them is the card's, not a dtype's.

## Why it matters
With two devices there is one more way to fail: a tensor that forward makes on the CPU, an entry of the batch that Trainer
does not move, an operation that has no kernel. Nothing of it shows before the training machine.

## Example
```python
position_ids = torch.arange(length)          # in forward: on the CPU, whatever the model is on
```

## Use instead
```python
position_ids = torch.arange(length, device=input_ids.device)
```

## References
- PyTorch, "CUDA semantics"
- transformers, "Trainer": what it moves
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from preflight_ocr.harness.facts import Accelerator, Facts, Raised, Unknown
from preflight_ocr.harness.judging.failures import excuse_card, show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DEV010",
    severity=Severity.BLOCKER,
    basis=Basis.GPU,
    contract="what runs on the CPU runs on the card",
    needs=("accelerator",),
    explains=("diverging_from_cpu",),
    keys=("subject.model", "subject.collator", "model.base_model"),
)

_TWO_DEVICES = re.compile(
    r"same device|different device|indices should be either on cpu|cuda:\d.{1,80}\bcpu\b|\bcpu\b.{1,80}cuda:\d"
    r"|device type cuda but got device type cpu"
)


def excuse(facts: Facts) -> str:
    return excuse_card(facts)


def examine(facts: Facts) -> Iterator[Finding]:
    accelerator = known(facts.accelerator)
    endings = [precision.step for precision in accelerator.precisions]
    raised = endings[0]
    if isinstance(raised, Raised) and all(isinstance(ended, Raised) for ended in endings):
        yield DIAGNOSIS.finding(
            f"On the card a training step ended with {show_raised(raised)}; the same step runs on the CPU.",
            evidence=_list_strays(accelerator),
            places=list_places(raised),
            fix="Make the tensor on the device of another one that is there (device=input_ids.device), and register what "
            "the model keeps as a buffer."
            if _TWO_DEVICES.search(raised.message)
            else "Follow the quoted line: what it calls has no kernel for this card, or takes a device for granted.",
        )
    wrote, on_cpu = accelerator.generation, _generates(facts)
    if isinstance(wrote, Raised) and on_cpu:
        yield DIAGNOSIS.finding(
            f"On the card `generate` ended with {show_raised(wrote)} after training; it runs on the CPU.",
            places=list_places(wrote),
            fix="Follow the quoted line; evaluation and prediction stop there.",
            severity=Severity.MAJOR,
        )


def _generates(facts: Facts) -> bool:
    return not isinstance(facts.forward, Unknown) and facts.forward.generation == "ok"


def _list_strays(accelerator: Accelerator) -> tuple[str, ...]:
    return show_some(
        f"{stray.owner} {stray.path} {list(stray.shape)} is on {stray.device}" for stray in accelerator.strays
    )
