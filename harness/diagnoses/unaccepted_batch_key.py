"""The collator hands the model a keyword that its forward does not take.

## What it does
Compares the keys of the collated batch with the parameters of the model's forward. A forward with `**kwargs` takes
any key; a forward without it raises on the first one it does not name.

## Why it matters
Training stops at the first step with `unexpected keyword argument`. The usual cause is a collator written for
another model: `pixel_values` is the common name, and remote code is free to choose its own.

## Example
A collator returns `{"input_ids", "labels", "pixel_values"}` for DeepSeek-OCR, whose forward takes `images`,
`images_seq_mask` and `images_spatial_crop`.

## Use instead
Build the arguments that forward names. A key that only your own code reads belongs outside the batch.

## References
- chain-03 in the project's list of real failures: DeepSeek-OCR under Trainer.
- transformers documentation, `Trainer.compute_loss`: the batch is passed to the model as keyword arguments.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.deltas import list_arguments, list_unaccepted_keys
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD001",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="every key of the batch is a parameter of the model's forward",
    needs=("collator.batch", "forward.signature"),
    explains=("failing_batch",),
    keys=("subject.collator",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    unaccepted = list_unaccepted_keys(facts)
    # A batch that the user's model takes as it is has its keys translated by a wrapper.
    if not unaccepted or known(facts.forward).given == "ok":
        return
    signature, collator = known(known(facts.forward).signature), known(facts.collator)
    images = [a for a in list_arguments(collator, "pixels", "placement_mask", "tiling", "grid") if signature.accepts(a)]
    takes = f"; for the image it takes {', '.join(images)}" if images else ""
    yield DIAGNOSIS.finding(
        f"The batch has {_quote(unaccepted)}, which {signature.owner} does not take{takes}.",
        fix=f"Return {_quote(images)} instead of {_quote(unaccepted)}, or take {_quote(unaccepted)} out of the batch."
        if images
        else f"Take {_quote(unaccepted)} out of the batch.",
        evidence=(f"batch: {', '.join(known(collator.batch).keys)}", f"forward: {', '.join(signature.names)}"),
    )


def _quote(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
