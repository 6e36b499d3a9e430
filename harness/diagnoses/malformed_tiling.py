"""The argument that describes the tiles does not describe the images it comes with.

## What it does
Compares the tiling with a batch that the model is known to accept: one entry per row, the right
shape, and the numbers that belong to these views.

## Why it matters
A wrong tile count breaks a reshape inside the model; an argument shorter than the batch silently drops the images
of the rest.

## Example
`images_spatial_crop=[[2, 2]]` for a page without tiles: `shape '[1, 1, 2, 2, 1280]' is invalid for input of size
10240`.

## Use instead
One int64 row per image: tiles across and down.

## References
- The remote code of DeepSeek-OCR.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.deltas import list_malformed_tiling, show_delta
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL010",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the tiling describes the images of the batch",
    needs=("collator.batch", "collator.deltas"),
    where="the model takes a tiling",
    explains=("failing_batch", "unseen_image", "leaking_image", "padding_changes_row"),
    keys=("subject.collator",),
    entries=("tiling",),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.collator, Unknown) or "tiling" in facts.collator.roles.values()


def examine(facts: Facts) -> Iterator[Finding]:
    roles = known(facts.collator).roles
    wrong = [delta for delta in list_malformed_tiling(facts) if roles.get(delta.argument) == "tiling"]
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
