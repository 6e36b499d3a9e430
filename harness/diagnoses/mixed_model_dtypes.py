"""Weights of different dtypes meet inside the model.

## What it does
Counts the floating-point dtypes of each part of the model, and quotes the exception with which forward, or a training
step under `fp16`/`bf16`, stopped because two dtypes met.

## Why it matters
A LayerNorm kept in float32 inside a bfloat16 model works under autocast and fails without it, which is how evaluation
often runs. Remote code that writes the result of an autocast operation into a float32 tensor fails the other way
round.

## Example
```yaml
model: {torch_dtype: float32}
training: {bf16: true}          # "Index put requires the source and destination dtypes match" in the experts
```

## Use instead
```yaml
model: {torch_dtype: bfloat16}
training: {bf16: true}
```

## References
- unslothai/unsloth#5313
- PyTorch, "Automatic mixed precision": ops that autocast to a lower precision
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Raised, Unknown
from preflight_ocr.harness.judging.failures import show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DTY004",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="no two dtypes meet inside the model",
    needs=("forward",),
    explains=("failing_forward", "failing_batch", "failing_adapter", "failing_step"),
    keys=("model.torch_dtype",),
)

_MEETINGS = ("expected scalar type", "should be the same", "dtypes match", "have the same dtype", "same dtype")
_FLOATS = ("float16", "bfloat16", "float32", "float64")


def examine(facts: Facts) -> Iterator[Finding]:
    forward = known(facts.forward)
    mixed = {part: dtypes for part, counts in forward.dtypes.items() if len(dtypes := _list_floats(counts)) > 1}
    present = {dtype for counts in forward.dtypes.values() for dtype in _list_floats(counts)}
    raised = forward.reference if len(present) > 1 and _is_meeting(forward.reference) else _find_in_training(facts)
    if not isinstance(raised, Raised):
        return
    target, precision = ("bfloat16", "bf16") if "float16" not in present else ("float16", "fp16")
    is_theirs = not isinstance(facts.configuration, Unknown) and "model" in facts.configuration.replaced_parts
    yield DIAGNOSIS.finding(
        f"{'The training step under mixed precision' if raised is not forward.reference else 'forward'} stopped "
        "because "
        f"two dtypes met inside the model: {raised.message.rstrip('.')}.",
        evidence=(
            show_raised(raised),
            *show_some(f"{part} has {' and '.join(dtypes)}" for part, dtypes in mixed.items()),
            f"dtypes in the model: {', '.join(sorted(present))}",
        ),
        places=list_places(raised),
        fix=f"Load all of the model in one dtype, the one that training computes in, such as {target}"
        + (f", and set training.{precision}." if is_theirs else "."),
        snippet=f"model = model.to(torch.{target})  # at the end of your loader"
        if is_theirs
        else f"model:\n  torch_dtype: {target}\ntraining:\n  {precision}: true",
    )


def _list_floats(counts: dict[str, int]) -> list[str]:
    return [dtype for dtype in _FLOATS if counts.get(dtype)]


def _is_meeting(outcome: object) -> bool:
    return isinstance(outcome, Raised) and any(words in outcome.message for words in _MEETINGS)


def _find_in_training(facts: Facts) -> Raised | None:
    """What a step under mixed precision raised, where the same step in full precision goes through."""
    if isinstance(facts.learning, Unknown) or isinstance(facts.learning.training, Raised):
        return None
    step = facts.learning.mixed_precision
    return step if isinstance(step, Raised) and _is_meeting(step) else None
