"""The placement mask has one column and is spread over the whole sequence.

## What it does
Compares the width of the mask that says where image features go with the length of `input_ids`.

## Why it matters
Nothing is raised: a mask of shape `[B, 1]` broadcasts, and every position of the sequence is overwritten by image
features. The text never reaches the model. The loss is worse than a uniform guess, and the run ends with "success".

## Example
`images_seq_mask = torch.ones(batch_size, 1, dtype=torch.bool)`

## Use instead
Derive the mask from the final `input_ids`, after padding and truncation.

## References
- chain-13 in the project's list of real failures: loss 15.7 with ln(vocabulary) = 11.77.
- PyTorch documentation, broadcasting semantics.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Batch, Facts, Leaf, Unknown
from preflight_ocr.harness.judging.deltas import list_arguments
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, name_image_token

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL001",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the placement mask is as wide as input_ids",
    needs=("collator.batch",),
    where="the model takes a placement mask",
    explains=("unheard_text", "padding_changes_row", "failing_batch", "worse_than_guessing", "flat_loss"),
    keys=("subject.collator",),
    entries=("placement_mask",),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.collator, Unknown) or "placement_mask" in facts.collator.roles.values()


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    batch = known(collator.batch)
    length = _measure_rows(batch)
    for mask in batch.leaves:
        if mask.argument in list_arguments(collator, "placement_mask") and _is_one_column(mask) and length > 1:
            yield DIAGNOSIS.finding(
                f"`{mask.path}` has shape {list(mask.shape)}, expected [{batch.rows_out}, {length}]: one column "
                "broadcasts "
                "over the sequence, and image features overwrite the text.",
                fix="Derive the mask from the final input_ids.",
                snippet=name_image_token(collator.placeholder)
                + f'batch["{mask.argument}"] = batch["input_ids"] == image_token_id',
                evidence=(f"{mask.path}: {mask.dtype} {list(mask.shape)}, rows have {length} tokens",),
            )


def _is_one_column(mask: Leaf) -> bool:
    return len(mask.shape) == 2 and mask.shape[1] == 1


def _measure_rows(batch: Batch) -> int:
    ids = next((leaf for leaf in batch.leaves if leaf.argument == "input_ids" and len(leaf.shape) == 2), None)
    if ids is not None:
        return ids.shape[1]
    return max((len(row.roles) for row in batch.rows), default=0) if not isinstance(batch.rows, Unknown) else 0
