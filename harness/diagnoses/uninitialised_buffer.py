"""A buffer of the loaded model holds memory that nobody wrote.

## What it does
Builds the model's class a second time from the same configuration, without memory for weights, and compares every buffer
that no checkpoint holds with the one in the model that was loaded.

## Why it matters
Newer releases of transformers build a model on the meta device and fill in what the checkpoint has. A buffer that is
computed when the class is built and never saved (frequencies of a rotary embedding, a table of positions) gets memory and
no values, unless the model's code knows how to compute it again. There is no warning. The same model answers differently
each time it is loaded, and what is trained fits frequencies that nobody will ever have again.

## Example
```python
self.register_buffer("inv_freq", compute(dim), persistent=False)     # loaded by transformers 5: 1.2e-38, 0, nan, ...
```

## Use instead
Compute the buffers again after loading, or install the transformers release that the repository was written for.

## References
- dots-08 in the project's list of real failures: the loss is another one at every load.
- transformers, migration guide to version 5: `_init_weights` and non-persistent buffers.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD015",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="every buffer outside the checkpoint holds what its class computes",
    needs=("forward.lost_buffers",),
    explains=(
        "unseen_image",
        "unheard_text",
        "padding_changes_row",
        "worse_than_guessing",
        "flat_loss",
        "failing_step",
        "frozen_adapter",
        "lost_adapter",
    ),
)

_REPAIR = """from accelerate import init_empty_weights

with init_empty_weights(include_buffers=False):
    fresh = type(model)(model.config)
for name in ({names},):
    model.get_buffer(name).copy_(fresh.get_buffer(name))"""


def examine(facts: Facts) -> Iterator[Finding]:
    forward = known(facts.forward)
    lost = known(forward.lost_buffers)
    if not lost:
        return
    names = ", ".join(f'"{buffer.name}"' for buffer in lost)
    yield DIAGNOSIS.finding(
        f"Loading left {count(len(lost), 'buffer')} of {forward.model_class} without the right values: "
        f"`{lost[0].name}` holds "
        f"({lost[0].seen}), and the class computes ({lost[0].expected}).",
        evidence=show_some(f"{b.name}, {b.dtype} {list(b.shape)}: seen {b.seen}; expected {b.expected}" for b in lost),
        fix="Compute these buffers again after loading, in a loader of your own under subject.model, or install the "
        "transformers release that the model's code was written for.",
        snippet=_REPAIR.format(names=names),
    )
