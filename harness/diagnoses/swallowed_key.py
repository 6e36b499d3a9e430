"""Forward takes a key of the batch through `**kwargs` and does nothing with it.

## What it does
Calls forward without each key that its signature does not name. A key without which logits and loss stay the same is used
by nobody; it is reported where a named argument is missing that it was meant for.

## Why it matters
A forward with `**kwargs` cannot refuse a misspelt name. The argument that was meant keeps its default of None, and for an
image argument that means text only: the vision tower is never called, the loss falls, and the adapter has never seen a page.

## Example
```python
return {"input_ids": ids, "labels": labels, "pixel_value": pixels}     # forward wants pixel_values
```

## Use instead
```python
return {"input_ids": ids, "labels": labels, "pixel_values": pixels}
```

## References
- dots-05 in the project's list of real failures: `**loss_kwargs`.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.deltas import match_swallowed
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD012",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="every key of the batch is used by forward under its name",
    needs=("collator.batch", "forward.signature", "forward.idle_keys"),
    where="forward takes any keyword",
    explains=("unseen_image", "failing_batch", "failing_step"),
    keys=("subject.collator",),
)


def applies(facts: Facts) -> bool:
    unknown = facts.unknown_on("forward.signature")
    return unknown is not None or known(known(facts.forward).signature).accepts_any_keyword


def examine(facts: Facts) -> Iterator[Finding]:
    meant = match_swallowed(facts)
    if not meant:
        return
    signature = known(known(facts.forward).signature)
    swallower = next(p.name for p in signature.parameters if p.kind == "var_keyword")
    pairs = " and ".join(f"`{key}` (meant: `{argument}`)" for key, argument in meant.items())
    yield DIAGNOSIS.finding(
        f"{signature.owner} takes {pairs} through **{swallower} and does nothing with it: logits and loss are the same "
        "without it.",
        evidence=(
            f"batch: {', '.join(known(known(facts.collator).batch).keys)}",
            f"forward: {', '.join(signature.names)}, **{swallower}",
        ),
        fix="Return " + " and ".join(f"`{argument}` instead of `{key}`" for key, argument in meant.items()) + ".",
        snippet="\n".join(f'batch["{argument}"] = batch.pop("{key}")' for key, argument in meant.items()),
    )
