"""The image argument is not nested, ranked or filled as the model expects.

## What it does
Compares the containers, lengths and ranks of the pixel argument with a batch that the model is known to accept, and
looks for views that are blank where the page should be.

## Why it matters
The model fails deep inside its vision tower, with a message about a convolution or a permutation that names no
argument. A blank page is worse: it is a sign for "no image", and the images of the whole batch may be skipped
without a word.

## Example
3-D tensors inside DeepSeek-OCR's pairs: `permute(sparse_coo): number of dimensions in the tensor input does not
match`.

## Use instead
Build what the evidence gives as expected; `[C, H, W]` becomes `[1, C, H, W]` with `unsqueeze(0)`.

## References
- chain-06, chain-08 in the project's list of real failures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from preflight_ocr.harness.facts import Batch, Collator, Facts, Unknown
from preflight_ocr.harness.judging.deltas import list_arguments, list_malformed_images, show_delta
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL009",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the images are nested and ranked as the model expects",
    needs=("collator.batch", "collator.deltas"),
    explains=("failing_batch", "unseen_image", "leaking_image", "padding_changes_row"),
    keys=("subject.collator",),
    entries=("pixels",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    malformed = list_malformed_images(facts)
    blank = _list_blank(collator)
    if not malformed and not blank:
        return
    first = malformed[0] if malformed else None
    yield DIAGNOSIS.finding(
        f"`{first.path}` is a {first.seen}, expected a {first.expected}."
        if first is not None
        else f"{len(blank)} views are blank where the page should be.",
        fix="Build the images as the evidence says."
        if first is not None
        else "Put the page where the model looks for it: a blank view means that there is no image.",
        evidence=show_some([*(show_delta(d) for d in malformed), *(f"{path}: all zero" for path in blank)]),
    )


def _list_blank(collator: Collator) -> list[str]:
    """Paths of pixel leaves that hold nothing but zeros while the reference has a picture there.

    A row that the user shows whole, although its page would make tiles, has a blank in their place: the model is told so.
    """
    if not isinstance(collator.batch, Batch) or isinstance(collator.reference, Unknown):
        return []
    arguments = list_arguments(collator, "pixels")
    leaves = [leaf for leaf in collator.batch.leaves if leaf.argument in arguments]
    pictures = {leaf.path for leaf in collator.reference.leaves if leaf.minimum != 0 or leaf.maximum != 0}
    blank = [leaf.path for leaf in leaves if leaf.minimum == leaf.maximum == 0 and leaf.path in pictures]
    shown = {_find_row(leaf.path) for leaf in leaves if leaf.path not in blank} & _list_whole(collator)
    return [path for path in blank if _find_row(path) not in shown]


def _find_row(path: str) -> int | None:
    """The row in a path such as `images[2][0]`."""
    found = re.match(r"\w+\[(\d+)\]", path)
    return int(found[1]) if found else None


def _list_whole(collator: Collator) -> set[int]:
    """The rows without tiles whose pages would make some."""
    planned, seen = collator.planned_tiles, collator.seen_tiles
    if isinstance(planned, Unknown) or isinstance(seen, Unknown):
        return set()
    return {row for row, (wanted, given) in enumerate(zip(planned, seen, strict=False)) if not given and wanted}
