"""The argument that describes the tiles does not describe the images it comes with.

## What it does
Compares the tiling (or patch grid) with a batch that the model is known to accept: one entry per row, the right
shape, and the numbers that belong to these views.

## Why it matters
A wrong tile count breaks a reshape inside the model; an argument shorter than the batch silently drops the images
of the rest.

## Example
`[[1, 1, 588]]` as the grid of a page: the patch size was taken for the width. `shape '[0, 2, 294, 2]' is invalid
for input of size 588`.

## Use instead
One int64 row per image: tiles across and down (DeepSeek-OCR), or frames, height and width in patches (dots.ocr).

## References
- dots-02 in the project's list of real failures; the remote code of DeepSeek-OCR and dots.ocr.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis import Diagnosis
from harness.evidence import show_some
from harness.facts import Facts, Unknown
from harness.findings import Basis, Finding, Severity
from harness.symptoms import list_malformed_tiling, show_delta

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL010",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the tiling describes the images of the batch",
    needs=("collator.batch", "collator.deltas"),
    explains=("failing_batch", "unseen_image", "leaking_image"),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.collator, Unknown) or bool({"tiling", "grid"} & set(facts.collator.roles.values()))


def examine(facts: Facts) -> Iterator[Finding]:
    wrong = list_malformed_tiling(facts)
    if not wrong:
        return
    first = wrong[0]
    yield DIAGNOSIS.finding(
        f"`{first.path}` does not hold the tile counts of the views it comes with."
        if first.kind == "value"
        else f"`{first.path}` is {first.seen}, expected {first.expected}.",
        fix=f"Build `{first.argument}` from the tiles really made, one row per image, as int64.",
        snippet=f'batch["{first.argument}"] = torch.tensor(tiles, dtype=torch.int64)',
        evidence=show_some(f"{show_delta(d)} ({d.kind})" for d in wrong),
    )
