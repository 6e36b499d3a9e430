"""An image argument that the model needs is missing from the batch, or None.

## What it does
Compares the batch with one that this model is known to accept, and reports each image argument (pixels, placement
mask, tiling, grid) that is absent or None.

## Why it matters
A default of None in the signature does not make an argument optional: remote code indexes it without asking, and
training stops with `'NoneType' object is not subscriptable`, or takes the batch for one of text alone and says nothing.

## Example
`images_spatial_crop=None` for DeepSeek-OCR: `'NoneType' object is not iterable`.

## Use instead
Return every image argument for every batch, built as the evidence says.

## References
- chain-07, chain-09 in the project's list of real failures.
- transformers documentation, data collators: a collator returns all inputs of the forward call.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Delta, Facts, Unknown, Wrapper
from preflight_ocr.harness.judging.deltas import list_deltas, list_unaccepted_keys, match_swallowed, show_delta
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD002",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="every image argument the model needs is in the batch",
    needs=("collator.batch", "collator.deltas"),
    explains=("failing_batch", "unseen_image"),
    keys=("subject.collator",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    missing = list_deltas(collator, ("pixels", "placement_mask", "tiling", "grid"), ("missing", "none"))
    swallowed = match_swallowed(facts).values()
    missing = tuple(d for d in missing if d.argument not in swallowed)  # these are there, under a name nobody reads
    if _is_another_interface(facts, missing):
        missing = tuple(d for d in missing if d.kind == "none")
    if not missing or _is_translated(facts):
        return
    names = ", ".join(f"`{d.argument}`" for d in missing)
    unexpected = [d for d in known(collator.deltas) if d.kind == "unexpected"]
    yield DIAGNOSIS.finding(
        f"The batch has no value for {names}; the model needs one in every batch, whatever its signature says.",
        fix=f"Let the collator return {names}.",
        snippet="\n".join(f'batch["{d.argument}"] = ...  # {d.expected}' for d in missing),
        evidence=show_some(
            [*(show_delta(d) for d in missing), *(f"forward swallows an unknown `{d.argument}`" for d in unexpected)]
        ),
    )


def _is_translated(facts: Facts) -> bool:
    """Whether a wrapper takes the batch under other names and hands everything on."""
    if isinstance(facts.forward, Unknown) or not isinstance(facts.forward.wrapper, Wrapper):
        return False
    return facts.forward.given == "ok" and bool(list_unaccepted_keys(facts)) and not facts.forward.wrapper.dropped


def _is_another_interface(facts: Facts, missing: tuple[Delta, ...]) -> bool:
    """Whether the pixels are there under a name forward refuses: then all absent arguments have that one cause."""
    pixels = {a for a, role in known(facts.collator).roles.items() if role == "pixels"}
    return bool(list_unaccepted_keys(facts)) and any(d.kind == "missing" and d.argument in pixels for d in missing)
