"""The grid does not describe the patches it comes with.

## What it does
Holds the rows of the grid argument against the patches of the same batch: one (t, h, w) for each picture, counted in
patches, heights and widths that can be merged, as many patches as t * h * w, and not height and width exchanged.

## Why it matters
A wrong number of patches breaks a reshape inside the vision tower, with a message that names no argument. Height and
width exchanged break nothing: every patch gets another one's position, and the model learns from a shuffled page.

## Example
`[[1, 1, 588]]` as the grid of a page: the patch size was taken for the width. `shape '[0, 2, 294, 2]' is invalid for
input of size 588`.

## Use instead
```python
grid = torch.tensor([[1, height // patch_size, width // patch_size]])  # int64, one row per picture
```

## References
- dots-02 in the project's list of real failures; the remote code of dots.ocr.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Grid, Unknown
from preflight_ocr.harness.judging.deltas import list_malformed_images, list_malformed_tiling, show_delta
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL019",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the grid describes the patches of the batch",
    needs=("collator.batch", "collator.deltas"),
    where="the model takes a grid",
    explains=("failing_batch", "unseen_image", "leaking_image", "padding_changes_row"),
    keys=("subject.collator",),
    entries=("grid",),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.collator, Unknown) or "grid" in facts.collator.roles.values()


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    deltas = [d for d in list_malformed_tiling(facts) if collator.roles.get(d.argument) == "grid"]
    wrong = [show_delta(delta) for delta in deltas]
    # Patches of another width are a fault of their own, which their grid need not share.
    odd_patches = any(delta.kind == "shape" for delta in list_malformed_images(facts))
    if isinstance(collator.grid, Grid) and not odd_patches:
        wrong += _compare(collator.grid)
    if not wrong:
        return
    argument = next(name for name, role in collator.roles.items() if role == "grid")
    yield DIAGNOSIS.finding(
        f"`{argument}` does not describe its patches: {wrong[0]}.",
        fix=f"Build `{argument}` as int64 with one row (t, h, w) for each picture, counted in patches after resizing.",
        snippet=f'batch["{argument}"] = torch.tensor([[1, height // patch_size, width // patch_size]])',
        evidence=show_some(wrong),
    )


def _compare(grid: Grid) -> list[str]:
    """What is wrong with the numbers. Other numbers than ours are no fault as long as the patches are others too."""
    if any(len(row) != 3 for row in grid.seen):
        return [f"its rows have {len(grid.seen[0])} numbers, expected 3: (t, h, w)"]
    counted = sum(t * h * w for t, h, w in grid.seen)
    unmerged = [row for row in grid.seen if row[1] % grid.merge or row[2] % grid.merge]
    wrong = [f"{row} cannot be merged {grid.merge} x {grid.merge}; h and w must be multiples" for row in unmerged]
    if counted != grid.patches:
        wrong.insert(0, f"its rows {_show(grid.seen)} make {counted} patches, and the batch has {grid.patches}")
    if not wrong and grid.same_patches and grid.seen != grid.expected:
        wrong.append(f"its rows are {_show(grid.seen)}, and the patches have the order of {_show(grid.expected)}")
    return wrong


def _show(rows: tuple[tuple[int, ...], ...]) -> str:
    return ", ".join(str(row) for row in rows[:3]) + (", ..." if len(rows) > 3 else "")
