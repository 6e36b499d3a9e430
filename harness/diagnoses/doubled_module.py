"""A wrapper registers the model under two names.

## What it does
Looks for one and the same module that the wrapper holds under two attributes. Modules that a model shares inside
itself (tied embeddings) are not meant.

## Why it matters
Every weight and every adapter key exists twice in the state dict, below names that only the wrapper has. The saved
adapter matches nothing in the bare model: all `lora_B` stay zero after loading, the fine-tuning is lost, and a
warning is all one gets to see.

## Example
`self.model = model; self.base_model = model` in one `nn.Module`.

## Use instead
Adapt and train the model itself. A wrapper that has to stay goes on behind the adapter, and holds the model under one name.

## References
- chain-17, web-13 in the project's list of real failures; illuin-tech/colpali#424, vllm-project/vllm#34186.
- PyTorch documentation, `nn.Module.state_dict`: one entry per registered name.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, show_some
from preflight_ocr.harness.judging.wrappers import excuse_wrapper, find_wrapper

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD004",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the model is registered once in the module that is trained",
    needs=("forward", "adapter"),
    where="a module of your own is wrapped around the model",
    explains=("lost_adapter", "wrapped_before_adapter"),
    keys=("subject.model", "subject.peft"),
)


def applies(facts: Facts) -> bool:
    return find_wrapper(facts) is not None


def excuse(facts: Facts) -> str:
    return excuse_wrapper(facts)


def examine(facts: Facts) -> Iterator[Finding]:
    wrapper = known(find_wrapper(facts))
    if wrapper is None:
        return
    doubled = [(a, b) for a, b in wrapper.shared_names if a.partition(".")[0] != b.partition(".")[0]]
    if not doubled:
        return
    first, second = min(doubled, key=lambda pair: pair[0].count(".") + pair[1].count("."))
    yield DIAGNOSIS.finding(
        f"{wrapper.class_name} holds one {wrapper.inner_class} twice, as `{first}` and as `{second}`; expected once.",
        fix=f"Leave {wrapper.class_name} out: adapt and train the model itself. A wrapper that has to stay goes on "
        "behind the adapter, and holds the model under one name.",
        snippet=f"return model  # in place of {wrapper.class_name}(model)",
        evidence=show_some(f"`{a}` is `{b}`" for a, b in doubled),
    )
