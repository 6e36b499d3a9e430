"""A tensor made on the CPU inside forward meets tensors on the accelerator.

## What it does
Runs forward on a simulated accelerator: real numbers on the CPU, and for every tensor a note of where it would be. Each
operation is held to torch's own rules for mixed devices. What is found is one tensor, the line that made it, and every
line that mixes it with others.

## Why it matters
`torch.zeros(n)`, `torch.arange(n)` and `torch.tensor(x.tolist())` make tensors on the CPU, whatever their neighbours are on.
Nothing shows it on a laptop; on the card the first step ends with "Expected all tensors to be on the same device".

## Example
```python
positions = torch.arange(hidden_states.shape[1])
hidden_states = hidden_states + self.table(positions)
```

## Use instead
```python
positions = torch.arange(hidden_states.shape[1], device=hidden_states.device)
```

## References
- PyTorch documentation, CUDA semantics: operations across devices raise, except copies and numbers without dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Clash, Facts, Origin
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
    code="DEV003",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="a tensor that forward creates is on the device of the tensors it is used with",
    needs=("forward.placement",),
    explains=("failing_on_card",),
    keys=("subject.model",),
)
_OWNED_BY_OTHERS = (*STANDING, "entry")


def excuse(facts: Facts) -> str:
    return excuse_simulation(facts, examine(facts))


def examine(facts: Facts) -> Iterator[Finding]:
    clashes = [m for m in get_placement(facts).clashes if m.stray.device == "cpu"]
    made = [m for m in clashes if m.stray.origin is None or m.stray.origin.kind not in _OWNED_BY_OTHERS]
    for origin, met in group_by_origin(made):
        first = met[0]
        site = origin.site if origin else None
        yield DIAGNOSIS.finding(
            f"{_describe(origin, first)} meets {_show_beside(first)} in {first.operation}; expected both on one "
            "device.",
            severity=weigh(facts, DIAGNOSIS.severity),
            evidence=show_some(map(show_clash, met)),
            places=list_places(site, *list_sites(met)),
            fix="Make the tensor where the tensors it meets are, or move it there before it is used.",
            snippet=_write_fix(origin),
        )


def _describe(origin: Origin | None, first: Clash) -> str:
    stray = first.stray
    what = f"{stray.dtype} {list(stray.shape)} on the CPU ({stray.argument} of {first.operation})"
    if origin is None or origin.site is None:
        return f"A tensor, {what},"
    verb = "brought to the CPU" if origin.kind == "moved" else "made"
    return f"A tensor, {what}, {verb} at {origin.site.file}:{origin.site.line} (`{origin.site.code}`),"


def _show_beside(first: Clash) -> str:
    beside = first.beside
    name = beside.origin.name if beside.origin and beside.origin.name else "a tensor"
    return f"{name} {list(beside.shape)} on the accelerator"


def _write_fix(origin: Origin | None) -> str:
    """The line with a device in it, where it can be written; else the general form."""
    code = origin.site.code if origin and origin.site else ""
    call = origin.call if origin else ""
    end = _find_end(code, f"torch.{call}(") if origin and origin.kind == "made" and call else None
    if end is None:
        return "stray = stray.to(input_ids.device)"
    return f"{code[:end]}, device=input_ids.device{code[end:]}  # or of any tensor that it meets"


def _find_end(code: str, call: str) -> int | None:
    """Where the call's closing bracket is in this one line; None where it is not in it."""
    start = code.find(call)
    if start < 0:
        return None
    depth = 0
    for at in range(start + len(call) - 1, len(code)):
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        if not depth:
            return at
    return None
