"""A row has more or fewer image placeholders than the model makes features from its image.

## What it does
Counts the placeholders of each row and the feature vectors the model offers for it during forward. Rows without any
placeholder, rows cut by truncation and rows with an unplanned view have diagnoses of their own.

## Why it matters
With too few, features are cut off or spill into the next row; with too many, the surplus keeps the embedding of the
placeholder's own text. Some models raise, others print a line, others say nothing.

## Example
900 placeholders for a page of 2 x 3 tiles that yields 903 features: newline and separator features were not
counted.

## Use instead
Take the number from the model's own arithmetic, features of newlines and separators included.

## References
- dots-04 in the project's list of real failures.
- huggingface/trl#4289, QwenLM/Qwen3-VL#556: image features and image tokens do not match.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from preflight_ocr.harness.facts import Batch, Collator, Facts, Landing, Raised, Row, Unknown
from preflight_ocr.harness.judging.deltas import (
    list_arguments,
    list_malformed_images,
    list_malformed_tiling,
    list_repaired,
)
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import cuts_image, get_rows, is_placed, list_bare_rows, pair_rows
from preflight_ocr.harness.judging.wording import count_part, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL003",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="every row has as many image placeholders as features",
    needs=("collator.batch.rows", "forward"),
    explains=("failing_batch", "leaking_image", "padding_changes_row"),
    keys=("subject.collator",),
    entries=("input_ids",),
)

OWNERS = (
    "missing_placeholders",
    "truncated_image_tokens",
    "unplanned_view",
    "shifted_mask",
    "broadcast_mask",
    "non_boolean_mask",
)


def excuse(facts: Facts) -> str:
    landings = known(facts.forward).landing
    if isinstance(landings, Unknown):
        return "" if _is_stopped(facts) else landings.reason
    if not landings:
        return "no row reached the decoder, so its image features were not counted"
    pairs = list(pair_rows(known(facts.collator))) if not isinstance(facts.collator, Unknown) else []
    if _has_wrong_pictures(facts) and not pairs and not _is_stopped(facts):
        return (
            "not judged: the pictures are not as the model asks for them, and no row of ours says what they should give"
        )
    told = _is_stopped(facts) or _has_wrong_pictures(facts)
    if pairs and not told and all(_shows_our_picture(facts, mine, theirs) for _, mine, theirs in pairs):
        return (
            "not judged: forward rejected the collator's pixels, and our substitute pixels need another number of "
            "placeholders"
        )
    return "" if any(not isinstance(x.features, Unknown) or "1" in x.landed for x in landings) else _name(landings)


def _name(landings: tuple[Landing, ...]) -> str:
    return next((x.features.reason for x in landings if isinstance(x.features, Unknown)), "no feature was seen")


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    if _is_stopped(facts):
        unlike = list(_list_unlike(facts))
        yield from _report(unlike, len(get_rows(collator.batch)))
        if not unlike:
            yield from _report_owned(facts)
        return
    rows = get_rows(collator.batch)
    references = {number: theirs for number, _, theirs in pair_rows(collator)}
    wrong: list[str] = []
    owned: list[str] = []
    landings = known(facts.forward).landing
    for landing in () if isinstance(landings, Unknown) else landings:
        if landing.row >= len(rows) or not rows[landing.row].count("i"):
            continue
        row, reference = rows[landing.row], references.get(landing.row)
        if reference is not None and cuts_image(row, reference):
            continue
        if said := _compare(facts, row, landing, reference):
            has_owner = _has_unplanned_view(facts, landing.row) or not is_placed(row)
            (owned if has_owner else wrong).append(f"row {landing.row}: {said}")
    yield from _report(wrong, len(rows))
    if not wrong:
        yield from _report_owned(facts, owned)


def _report_owned(facts: Facts, owned: Sequence[str] = ()) -> Iterator[Finding]:
    """Rows without any placeholder, cut inside them, with a view too many, or whose mask places what forward would have
    placed elsewhere: the sentence is false, and the cause has its own name."""
    collator = known(facts.collator)
    total = len(get_rows(collator.batch))
    bare = [f"row {number}: no placeholder, expected {expected}" for number, expected in list_bare_rows(facts)]
    cut = [
        f"row {number}: {mine.count('i')} of {theirs.count('i')} placeholders are left"
        for number, mine, theirs in pair_rows(collator)
        if cuts_image(mine, theirs)
    ]
    yield from _report([*bare, *cut, *owned], total, owners=OWNERS)


def _report(wrong: Sequence[str], rows: int, *, owners: tuple[str, ...] = ()) -> Iterator[Finding]:
    if wrong:
        yield DIAGNOSIS.finding(
            f"{count_part(len(wrong), rows, 'does', 'do')} not have one placeholder per image feature.",
            fix="Repeat the image token once per feature of that row's image; newline and separator features count.",
            evidence=show_some(wrong),
            owners=owners,
        )


def _list_unlike(facts: Facts) -> Iterator[str]:
    """Where forward did not get to place anything: rows with other numbers than ours although their pictures are ours."""
    collator = known(facts.collator)
    for number, mine, theirs in pair_rows(collator):
        if mine.count("i") and mine.count("i") != theirs.count("i") and not cuts_image(mine, theirs):
            yield f"row {number}: {mine.count('i')} placeholders for {theirs.count('i')} features"


def _is_stopped(facts: Facts) -> bool:
    """Whether forward refused the tokens with pictures that are ours: then our numbers are those it would have placed."""
    forward = known(facts.forward)
    refused = isinstance(forward.landing, Unknown) or "input_ids" in list_repaired(facts)
    return refused and isinstance(forward.given, Raised) and _has_our_pictures(known(facts.collator))


def _has_wrong_pictures(facts: Facts) -> bool:
    return bool(list_malformed_images(facts) or list_malformed_tiling(facts))


def _shows_our_picture(facts: Facts, row: Row, reference: Row | None) -> bool:
    """Whether what landed are features of our picture, put in place of one that forward refused, in a row that was made
    for another, or in our row: its own features were never seen."""
    collator, repaired = known(facts.collator), list_repaired(facts)
    if "input_ids" in repaired:
        return True
    if reference is None or row.count("i") == reference.count("i") or _has_our_pictures(collator):
        return False
    return bool(repaired & set(list_arguments(collator, "pixels")))


def _has_our_pictures(collator: Collator) -> bool:
    """Whether the pixels of the batch have the shapes that ours have, so that as many features can be expected."""
    if not isinstance(collator.batch, Batch) or isinstance(collator.reference, Unknown):
        return False
    pixels = list_arguments(collator, "pixels")
    given, ours = (
        {leaf.path: leaf.shape for leaf in batch.leaves if leaf.argument in pixels}
        for batch in (collator.batch, collator.reference)
    )
    return given == ours


def _compare(facts: Facts, row: Row, landing: Landing, reference: Row | None) -> str:
    """What is wrong with this row's number of placeholders, or nothing."""
    placeholders = row.count("i")
    # Wrong pixels or tiling change the number of features: then the reference's number is the one that counts.
    if _has_wrong_pictures(facts):
        expected = reference.count("i") if reference is not None else placeholders
        return f"{placeholders} placeholders for {expected} features" if expected != placeholders else ""
    if _shows_our_picture(facts, row, reference):
        return ""
    if not isinstance(landing.features, Unknown):
        unlike = landing.features and landing.features != placeholders
        return f"{placeholders} placeholders for {landing.features} features" if unlike else ""
    if row.marked and is_placed(row):
        return ""  # the mask marks every placeholder, so that what landed elsewhere was not placed by it
    placed = sum(role == "i" and flag == "1" for role, flag in zip(row.roles, landing.landed, strict=False))
    return f"features landed on {placed} of {placeholders} placeholders" if 0 < placed < placeholders else ""


def _has_unplanned_view(facts: Facts, row: int) -> bool:
    planned, seen = known(facts.collator).planned_tiles, known(facts.collator).seen_tiles
    if isinstance(planned, Unknown) or isinstance(seen, Unknown) or row >= min(len(planned), len(seen)):
        return False
    return seen[row] > planned[row] == 0
