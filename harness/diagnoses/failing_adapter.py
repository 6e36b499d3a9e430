"""The adapter could not be put on the model.

## What it does
Quotes the exception that PEFT, or the user's own adapter step, ended with. Where its cause is known by itself (no
module matches), that cause is reported instead.

## Why it matters
There is nothing to train.

## Example
`target_modules: all-linear` on remote code with a layer named `layers`: `Target module ModuleList(...) is not
supported`.

## Use instead
Name the leaf modules, for instance `q_proj`, `k_proj`, `v_proj`, `o_proj`.

## References
- PEFT documentation, `LoraConfig.target_modules` and supported layer types.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Raised, Unknown
from preflight_ocr.harness.judging.failures import excuse_closed, is_same_failure, show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRA005",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the adapter can be put on the model",
    needs=("adapter",),
    explains=("failing_step",),
    keys=("subject.peft", "lora.target_modules"),
)


def excuse(facts: Facts) -> str:
    return excuse_closed(known(facts.adapter).raised)


def examine(facts: Facts) -> Iterator[Finding]:
    adapter = known(facts.adapter)
    if adapter.raised is None:
        return
    clash = "is not supported" in adapter.raised.message
    targets = () if isinstance(adapter.targets, Unknown) else adapter.targets
    yield DIAGNOSIS.finding(
        f"Adding the adapter ended with {show_raised(adapter.raised)}.",
        places=list_places(adapter.raised),
        owners=("unloadable_model", "failing_forward") if _was_met_before(adapter.raised, facts) else (),
        fix="Name leaf modules in lora.target_modules: an entry also matches a container of that name."
        if clash
        else "Follow the quoted line.",
        snippet="lora: {target_modules: [q_proj, k_proj, v_proj, o_proj]}" if clash else "",
        evidence=show_some(f"{t.name}: {sum(t.hits.values())} modules" for t in targets),
    )


def _was_met_before(raised: Raised, facts: Facts) -> bool:
    """Whether the bare model fails in the same way: then the adapter has no part in it."""
    if isinstance(facts.forward, Unknown):
        return False
    return any(is_same_failure(raised, other) for other in (facts.forward.loading, facts.forward.reference))
