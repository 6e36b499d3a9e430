"""The model's code sends a tensor to "the" CUDA device, and this run is not on it.

## What it does
Looks for `.cuda()` and the like in the remote code, and whether the run is told to stay on the CPU beside a card, or
to spread the model over several cards. On a machine without a card Preflight sends such tensors to the CPU by itself.

## Why it matters
`.cuda()` means card number 0. A model on the CPU or on card 1 then meets a tensor on card 0: "Expected all tensors to
be on the same device", in the middle of forward and far from the line that caused it.

## Example
```python
mask = images_seq_mask[i].unsqueeze(-1).cuda()       # in the model's code; device_map: balanced
```

## Use instead
```yaml
model: {device_map: null}        # one card; train on several with one process each
```

## References
- OpenGVLab/InternVL#161
- OpenGVLab/InternVL#229
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Configuration, Environment, Facts
from preflight_ocr.harness.judging.failures import excuse_unread_code
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, list_places, show_site, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DEV001",
    severity=Severity.MAJOR,
    basis=Basis.READ,
    contract="the run uses the device that the model's code expects",
    needs=("configuration", "repository", "environment.cards"),
    keys=("model.device_map", "training.use_cpu"),
)

_SPREADING = ("auto", "balanced", "balanced_low_0", "sequential")


def excuse(facts: Facts) -> str:
    return excuse_unread_code(facts, examine(facts))


def examine(facts: Facts) -> Iterator[Finding]:
    configuration, environment = known(facts.configuration), known(facts.environment)
    sites = [site for site in known(facts.repository).device_sites if site.kind == "cuda"]
    elsewhere = _find_elsewhere(configuration, environment)
    if not sites or elsewhere is None:
        return
    yield DIAGNOSIS.finding(
        f"The model's own code sends tensors to card 0 in {count(len(sites), 'place')}, and {elsewhere}: one operation "
        "will get tensors on different devices.",
        evidence=show_some(show_site(site) for site in sites),
        places=list_places(*sites),
        fix="Keep the model on card 0 alone; to use several cards, start one process for each (torchrun, accelerate).",
        snippet="model:\n  device_map: null\ntraining:\n  use_cpu: false",
    )


def _find_elsewhere(configuration: Configuration, environment: Environment) -> str | None:
    cards = known(environment.cards)
    if configuration.use_cpu:
        return "use_cpu keeps the model on the CPU beside a card" if cards else None
    placed = configuration.device_map or ""
    if placed in _SPREADING:
        return f"device_map {placed} spreads the model over {len(cards)} cards" if len(cards) > 1 else None
    elsewhere = set(placed.split(", ")) - {"", "cuda", "cuda:0"}
    return f"device_map names {', '.join(sorted(elsewhere))}" if elsewhere else None
