"""The model's code casts the pixels to one dtype, and its weights have another.

## What it does
Reads the two dtypes out of the exception with which forward stopped, and looks which of them neither the batch nor any
weight of the model has: that one can only come from a cast inside the model's own code.

## Why it matters
Converting the images, which the message suggests, changes nothing: whatever dtype the batch has, the code converts it. The
weights have to come in the dtype that is written there. Loading in float32 "to be safe", or in float16 because a card
knows no bfloat16, cannot work without autocast.

## Example
```text
torch_dtype: float32
Input type (c10::BFloat16) and bias type (float) should be the same
```

## Use instead
```yaml
model: {torch_dtype: bfloat16}
```

## References
- dots-06 in the project's list of real failures.
- PyTorch, "torch.nn.functional.conv2d": input, weight and bias share one dtype.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from preflight_ocr.harness.facts import Batch, Facts, Raised, Unknown
from preflight_ocr.harness.judging.failures import show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DTY005",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the weights have the dtype that the model's code casts to",
    needs=("forward",),
    explains=(
        "image_dtype_mismatch",
        "mixed_model_dtypes",
        "failing_forward",
        "failing_batch",
        "failing_adapter",
        "failing_step",
    ),
    keys=("model.torch_dtype",),
)

_SPELLINGS = {
    "bfloat16": r"BFloat16|bfloat16",
    "float16": r"Half|half|float16",
    "float64": r"Double|double|float64",
    "float32": r"Float|float|float32",
}
_DTYPE = re.compile("|".join(rf"\b(?P<{name}>{spelling})(?:Tensor)?\b" for name, spelling in _SPELLINGS.items()))
_MEETING = re.compile(r"should be the same|same dtype|expected scalar type|dtypes match", re.IGNORECASE)


def examine(facts: Facts) -> Iterator[Finding]:
    forward = known(facts.forward)
    raised = forward.reference if not isinstance(forward.reference, Unknown) else forward.given
    if not isinstance(raised, Raised) or not _MEETING.search(raised.message):
        return
    weights = {dtype for counts in forward.dtypes.values() for dtype in counts}
    found = dict.fromkeys(str(match.lastgroup) for match in _DTYPE.finditer(raised.message))
    cast = [dtype for dtype in found if dtype not in weights | _list_batch_dtypes(facts)]
    if len(cast) != 1 or len(found) != 2 or not weights & set(found):
        return
    asked = None if isinstance(facts.configuration, Unknown) else facts.configuration
    autocast = asked is not None and {"bfloat16": asked.bf16, "float16": asked.fp16}.get(cast[0], False)
    yield DIAGNOSIS.finding(
        f"The model's code computes with {cast[0]}, which neither the batch nor any of its weights has: they are "
        f"{' and '.join(sorted(weights))}. {'Only under autocast do the two meet.' if autocast else ''}".rstrip(),
        evidence=(f"forward: {show_raised(raised)}", f"weights: {', '.join(sorted(weights))}"),
        places=list_places(raised),
        fix=f"Load the model in {cast[0]}; converting the images does not help.",
        snippet=f"model:\n  torch_dtype: {cast[0]}",
        severity=Severity.MINOR if autocast else None,
    )


def _list_batch_dtypes(facts: Facts) -> set[str]:
    """The dtypes of the batch that forward refused, and of the user's, which must not be blamed on the model."""
    if isinstance(facts.collator, Unknown):
        return set()
    batches = (facts.collator.reference, facts.collator.batch)
    # Ours comes first: its images have the dtype of the weights, so any other dtype is the model's own.
    first = next((batch for batch in batches if isinstance(batch, Batch)), None)
    return set() if first is None else {leaf.dtype for leaf in first.leaves}
