"""No entry of target_modules reaches the language model.

## What it does
Counts what each entry hits, by part of the model. A single entry that hits nothing is common in lists that serve
several models, and is fine as long as another one hits.

## Why it matters
PEFT raises where nothing matches at all. Where only a part matches that gets no gradient, training starts and
either fails with `element 0 of tensors does not require grad`, or saves an adapter that never moved.

## Example
`target_modules: [query, value]` for a model that calls them `q_proj` and `v_proj`.

## Use instead
Names of the language model's own projections, for instance `q_proj`, `k_proj`, `v_proj`, `o_proj`.

## References
- web-12 in the project's list of real failures.
- PEFT documentation, `LoraConfig.target_modules`.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Target, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, show_some

ELSEWHERE = ("vision", "projector", "embedding")

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRA002",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="target_modules reach the language model",
    needs=("adapter.targets",),
    explains=("failing_adapter", "failing_step", "untrainable_vision_adapters", "frozen_adapter", "flat_loss"),
    keys=("lora.target_modules", "subject.peft"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    targets = known(known(facts.adapter).targets)
    if not targets or any(n for t in targets for part, n in t.hits.items() if part not in ELSEWHERE):
        return
    hits = sum(n for t in targets for n in t.hits.values())
    if hits and _learns_elsewhere(facts):
        return
    yield DIAGNOSIS.finding(
        "No entry of target_modules hits a module of the language model"
        + (f"; {hits} modules are adapted, all of them elsewhere." if hits else ", and none hits anything else."),
        fix="Name projections of the language model in lora.target_modules.",
        snippet="lora: {target_modules: [q_proj, k_proj, v_proj, o_proj]}",
        evidence=show_some(map(_show, targets)),
    )


def _learns_elsewhere(facts: Facts) -> bool:
    """Whether the adapted parts do get gradients: then adapting only them may be what was meant."""
    if isinstance(facts.learning, Unknown) or isinstance(facts.learning.census, Unknown):
        return False
    return any(c.with_gradient for c in facts.learning.census if not c.checkpointing)


def _show(target: Target) -> str:
    parts = ", ".join(f"{count} in {part}" for part, count in target.hits.items() if count)
    return f"{target.name}: {parts or 'hits nothing'}"
