"""PEFT's task type adds keywords that the model's forward does not take.

## What it does
Compares the keywords that PEFT's wrapper for this task type hands to every call with the parameters of forward.

## Why it matters
Each step ends with `unexpected keyword argument`. The usual way out, a wrapper that swallows keywords, brings
faults that are harder to see.

## Example
`LoraConfig(task_type="SEQ_2_SEQ_LM")` on a decoder-only model: `decoder_input_ids`.

## Use instead
`task_type: CAUSAL_LM` for a decoder that writes text; no wrapper is needed.

## References
- chain-04, web-21 in the project's list of real failures; huggingface/peft#2291.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.failures import list_rejected
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRA001",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="forward takes every keyword that PEFT's task type adds",
    needs=("adapter",),
    keys=("lora.task_type",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    adapter = known(facts.adapter)
    rejected = list_rejected(facts)
    if not rejected:
        return
    names = ", ".join(f"`{name}`" for name in rejected)
    # A forward that takes any keyword says nothing about which of them the model behind it takes.
    fitting = adapter.fitting_task_types if adapter.rejected else ()
    # A decoder that writes text is CAUSAL_LM. Without a task type, PEFT adds nothing, which always fits.
    better = "CAUSAL_LM" if "CAUSAL_LM" in fitting else fitting[0] if fitting else "null"
    site = None if isinstance(adapter.task_type_site, Unknown) else adapter.task_type_site
    value = "None" if better == "null" else repr(better)
    is_theirs = not isinstance(facts.configuration, Unknown) and "peft" in facts.configuration.replaced_parts
    where = f"in {site.file}:{site.line}" if site is not None else "in the adapter step that subject.peft names"
    yield DIAGNOSIS.finding(
        f"Task type {adapter.task_type} makes PEFT call the model with {names}, which its forward does not take.",
        fix=(f"Write task_type={value} {where}" if site or is_theirs else f"Set lora.task_type to {better}")
        + "; a wrapper that filters keywords is not needed.",
        snippet=f"task_type={value}" if site or is_theirs else f"lora: {{task_type: {better}}}",
        places=() if site is None else (site,),
        keys=("subject.peft",) if site or is_theirs else (),
        evidence=(
            f"{adapter.task_type} adds: {', '.join(adapter.injected) or 'nothing'}",
            f"the model does not take: {', '.join(rejected)}",
            f"task types that fit: {', '.join(fitting) or 'none'}",
        ),
    )
