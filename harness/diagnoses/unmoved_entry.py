"""Something in the batch stays on the CPU, because Trainer does not look into what holds it.

## What it does
Moves the user's batch to a simulated accelerator with the installed accelerate and Trainer themselves, and looks for tensors
that are left behind, in any object. It then says where forward mixes them with what was moved.

## Why it matters
Trainer goes through lists, tuples and mappings. It does not look into a dataclass, a set or an object of one's own, and a
named tuple or a mapping with another constructor makes it raise. What was not moved meets the weights on the card.

## Example
```python
@dataclass
class Page:
    pixels: torch.Tensor

batch["images"] = [Page(view) for view in views]         # Page has no .to(), so its pixels stay on the CPU
```

## Use instead
```python
batch["images"] = [(view, crops) for view, crops in views]       # tensors in lists, tuples and dicts only
```

## References
- transformers, `Trainer._prepare_input`; accelerate, `send_to_device`.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Clash, Facts, Placement, Subject, Unmoved
from preflight_ocr.harness.judging.failures import show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.placement import get_placement, list_sites, show_clash, weigh
from preflight_ocr.harness.judging.wording import list_places, show_site, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DEV002",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="Trainer moves every tensor of the batch to the accelerator",
    needs=("forward.placement",),
    explains=("failing_on_card",),
    keys=("subject.collator",),
)


def excuse(facts: Facts) -> str:
    moves = facts.subject.training_moves if isinstance(facts.subject, Subject) else ()
    if not moves or not get_placement(facts).unmoved:
        return ""
    return f"Trainer does not move some tensors of the batch, but your own code may move them ({show_site(moves[0])})"


def examine(facts: Facts) -> Iterator[Finding]:
    placement = get_placement(facts)
    for argument in dict.fromkeys(_get_argument(entry.path) for entry in placement.unmoved):
        entries = [entry for entry in placement.unmoved if _get_argument(entry.path) == argument]
        met = _list_met(placement, argument)
        first = entries[0]
        yield DIAGNOSIS.finding(
            _describe(first, len(entries)),
            # One that forward takes to numbers by itself does no harm as yet.
            severity=weigh(facts, Severity.BLOCKER if met or first.raised else Severity.MINOR),
            evidence=show_some((*map(_show, entries), *map(show_clash, met))),
            places=list_places(*list_sites(met)),
            fix=f"Put the tensors of {argument} into plain lists, tuples or dicts, or give {first.holder} a method `to`.",
            snippet="def to(self, device, **options):\n"
            "    return type(self)(**{k: v.to(device, **options) if isinstance(v, torch.Tensor) else v"
            " for k, v in vars(self).items()})",
        )


def _describe(entry: Unmoved, count: int) -> str:
    if entry.raised is not None:
        return f"Trainer cannot move {entry.path}, a {entry.holder}: {show_raised(entry.raised)}."
    more = f" and {count - 1} more" if count > 1 else ""
    return (
        f"{entry.path}, {entry.dtype} {list(entry.shape)},{more} stays on the CPU: it is held by a {entry.holder}, "
        "which "
        "Trainer does not look into; expected tensors in lists, tuples and mappings only."
    )


def _show(entry: Unmoved) -> str:
    if entry.raised is not None:
        return f"{entry.path}: {show_raised(entry.raised)}"
    return f"{entry.path}: {entry.dtype} {list(entry.shape)} in a {entry.holder}"


def _list_met(placement: Placement, argument: str) -> tuple[Clash, ...]:
    """Where the tensors of this argument are mixed with others."""
    return tuple(
        m
        for m in placement.clashes
        if m.stray.origin and m.stray.origin.kind == "entry" and _get_argument(m.stray.origin.name) == argument
    )


def _get_argument(path: str) -> str:
    return path.partition("[")[0].partition(".")[0]
