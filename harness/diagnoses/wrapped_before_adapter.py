"""The adapter is put around a wrapper instead of the model.

## What it does
Looks whether the adapter's keys carry the name of a module of the user's own around the model.

## Why it matters
The saved keys fit only that wrapper. Loaded onto the bare model, none of them matches; PEFT warns, and the outputs
are those of the base model.

## Example
`get_peft_model(KeywordFilter(model), config)`: keys begin with `base_model.model.model.`.

## Use instead
`get_peft_model(model, config)`; with the right task type no wrapper is needed.

## References
- web-13 in the project's list of real failures; illuin-tech/colpali#424, vllm-project/vllm#34186.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Raised, Unknown, Wrapper
from preflight_ocr.harness.judging.failures import show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places
from preflight_ocr.harness.judging.wrappers import find_wrapper

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRA006",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="the adapter sits on the model itself",
    needs=("adapter",),
    explains=("lost_adapter", "failing_adapter"),
    keys=("subject.peft", "subject.model"),
)


def excuse(facts: Facts) -> str:
    """Refused for a reason of its own, the adapter never came to lie anywhere."""
    adapter = known(facts.adapter)
    is_wrapped = _get_wrapper(facts) is not None
    if adapter.raised is None or adapter.inside_wrapper or not is_wrapped or _lacks_attribute(facts, adapter.raised):
        return ""
    return f"the adapter step raised {adapter.raised.type}: {adapter.raised.message}"


def examine(facts: Facts) -> Iterator[Finding]:
    adapter = known(facts.adapter)
    wrapper = _get_wrapper(facts)
    refused = adapter.raised is not None and _lacks_attribute(facts, adapter.raised)
    if not adapter.inside_wrapper and not refused:
        return
    name = wrapper.class_name if wrapper is not None else "a wrapper"
    yield DIAGNOSIS.finding(
        f"The adapter is put around {name}, which is not a Hugging Face model: peft refuses it."
        if refused
        else f"The adapter is put around {name}, so its keys carry the wrapper's attribute names.",
        fix="Put the adapter on the bare model; wrap afterwards, if at all.",
        snippet="model = get_peft_model(model, lora_config)",
        places=list_places(adapter.raised) if refused else (),
        evidence=(show_raised(adapter.raised),)
        if refused and adapter.raised is not None
        else (f"key: {adapter.key_example}",)
        if adapter.key_example
        else (),
    )


def _lacks_attribute(facts: Facts, raised: Raised) -> bool:
    """Newer releases of peft ask what they are put around for things that only a Hugging Face model has."""
    wrapper = _get_wrapper(facts)
    return wrapper is not None and f"'{wrapper.class_name}' object has no attribute" in raised.message


def _get_wrapper(facts: Facts) -> Wrapper | None:
    wrapper = find_wrapper(facts)
    return None if isinstance(wrapper, Unknown) else wrapper
