"""A tensor that the model keeps is neither a parameter nor a buffer: `model.to(device)` leaves it where it was.

## What it does
Moves the model to a simulated accelerator with its own `to`, and looks at which of the tensors that hang on its modules,
or stand as globals in its or the user's code, stay behind and then meet others in forward.

## Why it matters
`self.scale = torch.ones(n)` looks like a part of the model and is none: it is not moved, not saved and not cast. On a laptop
it works; on the card the first step ends with "Expected all tensors to be on the same device".

## Example
```python
self.mean = torch.tensor([0.5, 0.5, 0.5]).view(1, 3, 1, 1)
```

## Use instead
```python
self.register_buffer("mean", torch.tensor([0.5, 0.5, 0.5]).view(1, 3, 1, 1), persistent=False)
```

## References
- PyTorch documentation, `torch.nn.Module.register_buffer`.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Origin
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.placement import (
    STANDING,
    excuse_simulation,
    get_placement,
    group_by_origin,
    list_sites,
    show_clash,
    weigh,
)
from preflight_ocr.harness.judging.wording import list_places, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DEV004",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="every tensor that the model keeps moves with it",
    needs=("forward.placement",),
    explains=("failing_on_card",),
    keys=("subject.model",),
)


def excuse(facts: Facts) -> str:
    return excuse_simulation(facts, examine(facts))


def examine(facts: Facts) -> Iterator[Finding]:
    kept = [m for m in get_placement(facts).clashes if m.stray.origin and m.stray.origin.kind in STANDING]
    for origin, met in group_by_origin(kept):
        assert origin is not None
        stray = met[0].stray
        yield DIAGNOSIS.finding(
            f"{origin.name}, {stray.dtype} {list(stray.shape)}, {_say_why(origin)} and meets tensors on the "
            "accelerator "
            f"as {stray.argument} of {met[0].operation}; expected it to move with the model.",
            severity=weigh(facts, DIAGNOSIS.severity),
            evidence=show_some(map(show_clash, met)),
            places=list_places(*list_sites(met)),
            fix=_say_fix(origin),
            snippet=_write_fix(origin),
        )


def _say_why(origin: Origin) -> str:
    if origin.kind == "global":
        return "a global tensor, stays on the CPU"
    return "a plain attribute and no buffer, stays on the CPU when the model is moved"


def _say_fix(origin: Origin) -> str:
    if origin.kind == "global":
        return "Register it as a buffer of the module that uses it, or move it where it is used."
    return "Register it as a buffer in the module's __init__; persistent=False keeps it out of the checkpoint."


def _write_fix(origin: Origin) -> str:
    name = origin.name.rpartition(".")[2].partition("[")[0]
    if origin.kind == "global":
        return f"{name}.to(hidden_states.device)"
    return f'self.register_buffer("{name}", {name}, persistent=False)'
