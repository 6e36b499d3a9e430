"""A page arrives squashed, cropped, mirrored or turned.

## What it does
Compares each view with the same page prepared as the model expects, and names the change of geometry that explains
it.

## Why it matters
Letters change their shape, lose their edge or read backwards. The model was trained on pages padded to the square
with their proportions kept; nothing is raised, and it learns to read distorted script.

## Example
A line of 1024 x 111 pixels resized to 1024 x 1024.

## Use instead
Scale until the longer side fits and pad the rest with the model's background.

## References
- chain-18 in the project's list of real failures.
- Pillow documentation, `ImageOps.pad` against `Image.resize`.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, PixelView, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_some

REMEDIES = {
    "squashed": (
        "Keep the proportions and pad to the square.",
        "ImageOps.pad(page, (size, size), color=(127, 127, 127))",
    ),
    "cropped": ("Show the whole page: scale it until it fits and pad the rest.", "ImageOps.pad(page, (size, size))"),
    "mirrored": ("Take the flip out: mirrored script is another script.", ""),
    "turned": (
        "Show the page upright; apply the EXIF orientation once, when it is opened.",
        "ImageOps.exif_transpose(page)",
    ),
}

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL007",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="pages keep their proportions, edges and orientation",
    needs=("collator.batch", "collator.views"),
    explains=("worse_than_guessing",),
    keys=("subject.collator", "data.preprocessing"),
    entries=("pixels",),
)


def excuse(facts: Facts) -> str:
    views = known(known(facts.collator).views)
    return "" if any(v.geometry != "unrecognised" for v in views) else "no page was recognised in the batch"


def examine(facts: Facts) -> Iterator[Finding]:
    views = known(known(facts.collator).views)
    for geometry, (fix, snippet) in REMEDIES.items():
        changed = [v for v in views if v.geometry == geometry and not _is_owned(facts, v)]
        if changed:
            yield DIAGNOSIS.finding(
                f"{len(changed)} of {count(len(views), 'view')} {'is' if len(changed) == 1 else 'are'} {geometry}; "
                "expected the page as it is, padded.",
                fix=fix,
                snippet=snippet,
                evidence=show_some(f"{v.path}: {geometry}{': ' if v.detail else ''}{v.detail}" for v in changed),
            )


def _is_owned(facts: Facts, view: PixelView) -> bool:
    """Whether a turned page has a cause of its own, or a crop is random and so a deliberate augmentation."""
    if view.geometry == "turned":
        problems = () if isinstance(facts.dataset, Unknown) else facts.dataset.problems
        return any(p.kind == "exif rotation" for p in problems)
    return view.geometry == "cropped" and known(facts.collator).deterministic is False
