"""The user's own code sends tensors to a card by name, while collating or inside forward.

## What it does
Runs the user's collator and forward on a simulated accelerator and notes each line of the user's that says `.cuda()`,
`.to("cuda")` or `device="cuda"`. A line that hands on the device of another tensor is none of them. Lines of the model's
own remote code are left out: they are the business of DEV001.

## Why it matters
"cuda" is card number 0. It goes well as long as there is one card and everything is on it. With one process for each card,
with a device map, on the CPU or on another make of accelerator, the tensor lands beside the others.

## Example
```python
weights = torch.ones(n).cuda()       # in a wrapper's forward
```

## Use instead
```python
weights = torch.ones(n, device=logits.device)
```

## References
- PyTorch documentation, CUDA semantics, "Device-agnostic code".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from preflight_ocr.harness.facts import Facts, NamedCard, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.placement import excuse_simulation, get_placement, show_clash, weigh
from preflight_ocr.harness.judging.wording import list_places, show_site, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DEV006",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="your own code names no card",
    needs=("forward.placement",),
    explains=("failing_on_card", "failing_loader"),
    keys=("subject.model", "subject.collator"),
)


def excuse(facts: Facts) -> str:
    return excuse_simulation(facts, examine(facts))


def examine(facts: Facts) -> Iterator[Finding]:
    placement = get_placement(facts)
    returned = {(entry.site.file, entry.site.line) for entry in placement.returned if entry.site}
    named = [
        card for card in placement.named if card.owner == "user" and (card.site.file, card.site.line) not in returned
    ]
    if not named:
        return
    elsewhere = [m for m in placement.clashes if m.stray.device != "cpu"]
    first = named[0]
    where = "the collator" if first.during == "collator" else "forward"
    yield DIAGNOSIS.finding(
        f"{first.site.file}:{first.site.line} names a card in {where}: `{first.site.code}`; expected the device of a "
        "tensor that is there already.",
        severity=weigh(facts, _choose_severity(facts, named, is_elsewhere=bool(elsewhere))),
        evidence=show_some((*(show_site(card.site) for card in named), *map(show_clash, elsewhere))),
        places=list_places(*(card.site for card in named)),
        fix="Take the device from a tensor that the new one will meet.",
        snippet=first.site.code.replace(".cuda()", ".to(input_ids.device)").replace('"cuda"', "input_ids.device"),
    )


def _choose_severity(facts: Facts, named: Sequence[NamedCard], *, is_elsewhere: bool) -> Severity:
    """Fragile while there is one card and everything is on it; a matter of time with several."""
    configuration = facts.configuration
    if is_elsewhere:
        return Severity.BLOCKER  # the line asks for another card than the model's
    if isinstance(configuration, Unknown):
        return Severity.MINOR
    if configuration.dataloader_workers and any(card.during == "collator" for card in named):
        return Severity.BLOCKER  # "Cannot re-initialize CUDA in forked subprocess"
    is_one = configuration.world_size <= 1 and configuration.device_map in (None, "", "cuda", "cuda:0")
    return Severity.MINOR if is_one else DIAGNOSIS.severity
