"""Adapters sit in the vision part, where no gradient ever arrives.

## What it does
Compares which entries of target_modules hit the vision tower or the projector with what the adapters there got
after backward. Adapters on what a vision part holds and, as it is configured, never calls are left out: they change nothing.

## Why it matters
The parameters count as trainable, take memory and optimizer state, and stay exactly what they were. Some models run
their vision part under `no_grad`, whatever is trainable in it.

## Example
`target_modules: [qkv_proj, q_proj]` on DeepSeek-OCR: the first one hits its CLIP tower only.

## Use instead
Names or a regular expression that match the language model only, or `exclude_modules`.

## References
- 2U1/Qwen-VL-Series-Finetune#61.
- PEFT documentation, `LoraConfig.exclude_modules`.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Site, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import is_supervised
from preflight_ocr.harness.judging.wording import known, list_places, show_site, show_some

PARTS = ("vision", "projector")

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRA003",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="adapters outside the language model get gradients",
    needs=("adapter.targets", "learning.census"),
    keys=("lora.target_modules", "subject.peft"),
)


def excuse(facts: Facts) -> str:
    if not is_supervised(facts):
        return "no label is trained on, so no gradient could be seen"
    # Where the vision part runs under no_grad by its own code, it does so with any image.
    if _sees_no_image(facts) and not _list_no_grad(facts):
        return "no image reached the model, so no gradient could be seen"
    return ""


def examine(facts: Facts) -> Iterator[Finding]:
    still = [
        c
        for c in known(known(facts.learning).census)
        if c.part in PARTS and not c.checkpointing and c.adapters > c.unreached and not c.with_gradient
    ]
    if not still or _is_cut_off(facts):
        return
    parts = {c.part for c in still}
    guilty = [t for t in known(known(facts.adapter).targets) if any(t.hits.get(part) for part in parts)]
    useful = [t.name for t in known(known(facts.adapter).targets) if t not in guilty]
    yield DIAGNOSIS.finding(
        f"{sum(c.adapters - c.unreached for c in still)} adapters in {' and '.join(sorted(parts))} get no gradient at all.",
        places=list_places(*_list_no_grad(facts)),
        fix="Keep target_modules to the language model.",
        snippet=f"lora: {{target_modules: [{', '.join(useful)}]}}" if useful else "",
        evidence=show_some(
            [
                *(f"{t.name}: {t.hits[part]} in {part}" for t in guilty for part in sorted(parts) if t.hits.get(part)),
                *map(show_site, _list_no_grad(facts)),
            ]
        ),
    )


def _is_cut_off(facts: Facts) -> bool:
    """Whether gradients are lost inside the language model already: then none can reach what lies before it."""
    severed = known(facts.learning).severed
    if not isinstance(severed, Unknown) and severed:
        return True
    census = [c for c in known(known(facts.learning).census) if c.part not in PARTS and not c.checkpointing]
    return any(c.with_gradient < c.adapters - c.unreached for c in census)


def _sees_no_image(facts: Facts) -> bool:
    if isinstance(facts.forward, Unknown) or isinstance(facts.forward.behaviour, Unknown):
        return False
    return True not in facts.forward.behaviour.image_reaches


def _list_no_grad(facts: Facts) -> list[Site]:
    if isinstance(facts.repository, Unknown):
        return []
    return [site for site in facts.repository.device_sites if site.kind == "no_grad"]
