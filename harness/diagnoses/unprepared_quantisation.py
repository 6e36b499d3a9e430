"""A model with packed weights is trained without the preparation that it needs here.

## What it does
Looks at the norms beside packed weights, and, where gradient checkpointing is on, at whether adapters get a gradient.

## Why it matters
`prepare_model_for_kbit_training` puts what is not packed into float32, and has the embeddings' output require a gradient.
Without the first, norms run in float16, whose largest number is 65,504: activations of a few outlying channels go beyond
it, and the loss becomes nan. Without the second, re-entrant checkpointing passes no gradient to any adapter. Norms in
bfloat16, and checkpointing that is not re-entrant, need neither.

## Example
```python
model = AutoModelForImageTextToText.from_pretrained(base, quantization_config=config, dtype=torch.float16)
model = get_peft_model(model, lora)
```

## Use instead
```python
model = prepare_model_for_kbit_training(model)
model = get_peft_model(model, lora)
```

## References
- PEFT documentation, "Quantization"
- huggingface/peft#137
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Raised, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRA009",
    severity=Severity.MINOR,
    basis=Basis.RAN,
    contract="a model with packed weights is prepared where its training needs that",
    needs=("adapter.quantised", "configuration"),
    explains=("checkpointing_starves",),
    where="the model has packed weights",
    keys=("subject.model", "subject.peft"),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.adapter, Unknown) or facts.adapter.quantised is not None


def examine(facts: Facts) -> Iterator[Finding]:
    found = known(known(facts.adapter).quantised)
    if found is None:
        return
    low = found.norm_dtypes.get("float16", 0)
    starved = known(facts.configuration).gradient_checkpointing and _is_starved(facts) and _has_half(found.other_dtypes)
    if not (low or starved):
        return
    seen = ["its norms are in float16"] if low else []
    seen += ["with gradient checkpointing no adapter gets a gradient"] if starved else []
    yield DIAGNOSIS.finding(
        f"The model has packed weights and nothing prepared it: {', and '.join(seen)}.",
        evidence=show_some(f"{n} numbers of norms in {dtype}" for dtype, n in found.norm_dtypes.items()),
        fix="Call prepare_model_for_kbit_training on the loaded model, before the adapter is added.",
        snippet="model = prepare_model_for_kbit_training(model)",
        severity=Severity.BLOCKER if starved else Severity.MINOR,
    )


def _has_half(dtypes: dict[str, int]) -> bool:
    """Preparing leaves nothing in half precision, so that whatever is there was not prepared."""
    return bool(dtypes.get("float16") or dtypes.get("bfloat16"))


def _is_starved(facts: Facts) -> bool:
    if isinstance(facts.learning, Unknown):
        return False
    if isinstance(facts.learning.checkpointing, Raised):
        return "does not require grad" in facts.learning.checkpointing.message
    census = () if isinstance(facts.learning.census, Unknown) else facts.learning.census
    fed = {c.part for c in census if not c.checkpointing and c.with_gradient}
    with_it = [c for c in census if c.checkpointing and c.part in fed]
    return bool(with_it) and not any(c.with_gradient for c in with_it)
