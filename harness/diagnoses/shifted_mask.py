"""The placement mask does not mark exactly the image placeholders.

## What it does
Lays each row's placement mask over its tokens: it must be on at every image placeholder and nowhere else. A mask
with a single column is another defect, and so is a row without any placeholder.

## Why it matters
The model believes the mask and never looks at the token ids. Features overwrite text, or placeholders keep a
meaningless text embedding. If the counts agree by chance nothing is raised.

## Example
`input_ids` padded on the left, `images_seq_mask` padded on the right.

## Use instead
Derive the mask from the final `input_ids`, after padding and truncation.

## References
- The DeepSeek-OCR remote code: `masked_scatter_` over the rows of `images_seq_mask`.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Row, Unknown
from preflight_ocr.harness.judging.deltas import list_arguments, list_deltas, show_delta
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import get_rows, mark_placeholders
from preflight_ocr.harness.judging.wording import count, known, name_image_token, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL004",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the placement mask marks the image placeholders and nothing else",
    needs=("collator.batch.rows",),
    where="the model takes a placement mask",
    explains=(
        "unheard_text",
        "leaking_image",
        "padding_changes_row",
        "failing_batch",
        "worse_than_guessing",
        "flat_loss",
    ),
    keys=("subject.collator",),
    entries=("placement_mask",),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.collator, Unknown) or "placement_mask" in facts.collator.roles.values()


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    rows = get_rows(collator.batch)
    wrong = [(number, row) for number, row in enumerate(rows) if _is_wrong(row)]
    # A mask that is no [B, S] tensor at all cannot be laid over the rows.
    malformed = () if wrong else list_deltas(collator, ("placement_mask",), ("container", "rank"))
    if not wrong and not malformed:
        return
    mask = next(iter(list_arguments(collator, "placement_mask")))
    evidence = [f"row {number}: {_describe(row)}" for number, row in wrong] + [show_delta(d) for d in malformed]
    if wrong and len(wrong[0][1].roles) <= 60:
        evidence += [f"tokens {wrong[0][1].roles}", f"mask   {wrong[0][1].marked}"]
    yield DIAGNOSIS.finding(
        f"`{mask}` does not mark the image placeholders in {len(wrong) or len(rows)} of {count(len(rows), 'row')}.",
        fix="Derive the mask from the final input_ids, after padding and truncation.",
        snippet=f'{name_image_token(collator.placeholder)}batch["{mask}"] = batch["input_ids"] == image_token_id',
        evidence=show_some(evidence, limit=7),
    )


def _is_wrong(row: Row) -> bool:
    return bool(row.marked) and "i" in row.roles and len(row.marked) != 1 and row.marked != mark_placeholders(row)


def _describe(row: Row) -> str:
    """The kind of mistake in a few words."""
    right, seen = mark_placeholders(row), row.marked
    if len(seen) != len(right):
        return f"the mask has {len(seen)} positions for {len(right)} tokens"
    if "1" not in seen:
        return f"the mask is all False, {right.count('1')} placeholders are unmarked"
    if "0" not in seen:
        return f"the mask is all True, {right.count('0')} other tokens are marked"
    shift = seen.index("1") - right.index("1")
    if shift and seen.strip("0") == right.strip("0"):
        if row.roles.strip(".") != row.roles and abs(shift) == row.count("."):
            return "the mask is padded on the other side than input_ids"
        return f"the mask is shifted by {abs(shift)} to the {'right' if shift > 0 else 'left'}"
    over = sum(s == "1" and r == "0" for s, r in zip(seen, right, strict=True))
    under = sum(s == "0" and r == "1" for s, r in zip(seen, right, strict=True))
    return f"{under} placeholders are not marked and {over} other tokens are"
