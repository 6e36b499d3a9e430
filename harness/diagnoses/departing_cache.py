"""Reading with a cache computes other logits than reading without one.

## What it does
Leads the model's own `generate` along a row's target for a few tokens and compares its raw logits with those of one forward
over the same tokens. The first token comes from the prompt alone; what departs behind it comes from the cache.

## Why it matters
Training has no cache, reading has. Where the two differ, a model that learned well reads badly, and training longer does not
help. It lies in the installed release, in the model's code or in a patch of either, and not in the data.

## Example
```python
def forward(self, hidden, **kwargs):        # a patched block with a fast path for one token
    return self.fast(hidden) if hidden.shape[1] == 1 else self.block(hidden, **kwargs)
```

## Use instead
Read without a cache until the release or the patch is mended:
```python
model.generate(**inputs, use_cache=False)
```

## References
- Gemma 3 in transformers 4.51.3 departs once the text is longer than its sliding window.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD017",
    severity=Severity.NOTE,
    basis=Basis.RAN,
    contract="generation computes the same logits with a cache as without one",
    law="training equals generation",
    needs=("forward.agreement.cached",),
    keys=("subject.model",),
)
FLOAT32 = 1e-3


def excuse(facts: Facts) -> str:
    agreement = known(known(facts.forward).agreement)
    return (
        "in half precision, and with packed weights, rounding hides the answer" if agreement.tolerance > FLOAT32 else ""
    )


def examine(facts: Facts) -> Iterator[Finding]:
    forward = known(facts.forward)
    agreement = known(forward.agreement)
    departing = [(row, value) for row, value in enumerate(known(agreement.cached)) if value > agreement.tolerance]
    if not departing:
        return
    yield DIAGNOSIS.finding(
        f"{forward.model_class} generates with other logits when it has a cache, by up to "
        f"{max(value for _, value in departing):.2g} of their standard deviation; expected the same.",
        evidence=show_some(f"row {row}: {value:.2g} behind the first token" for row, value in departing),
        fix="Generate without the cache, and look for a release or a patch in which the two agree.",
        snippet="model.generate(**inputs, use_cache=False)",
    )
