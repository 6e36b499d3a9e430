"""Training computes other logits for a row than reading the same page does.

## What it does
Lays the logits that the labels are held to, of every row of a batch of the collator's, beside those that generation computes
for the same row: from the prompt and with the arguments that inference will hand over, led along the same target. In
evaluation mode, in float32 to a thousandth of the logits' standard deviation. Where they differ, each entry of the batch
is replaced by the one inference would have, one at a time: the entry that makes all rows agree is the cause.

## Why it matters
The adapter learns to write behind one prompt and is asked behind another. Nothing is raised and the loss falls, because
training agrees with itself. What is read later is worse than what was trained, by as much as the two differ.

## Example
```python
return {"input_ids": ids, "labels": labels, "position_ids": mask.cumsum(-1) - 1}    # the model numbers pictures in 3-D
return {"input_ids": ids, "labels": labels, "pixel_values": pixels}                  # Gemma 3 also needs token_type_ids
model.config.decoder_start_token_id = 2            # generation_config.json says 0
```

## Use instead
Hand to forward what the model's own processor gives, and nothing else; leave out positions that the model computes.
```python
batch = processor(text=texts, images=images, padding=True, return_tensors="pt")
batch["labels"] = labels
```

## References
- unslothai/unsloth-zoo#756, huggingface/trl#4189: token types left out of Gemma 3's batches.
- linkedin/Liger-Kernel#276, QwenLM/Qwen3-VL#488: flat positions for Qwen2-VL.
- NielsRogge/Transformers-Tutorials#362, huggingface/transformers#25132: TrOCR's start tokens.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Agreement, Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count_part, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRN008",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="training computes the logits that generation computes for the same row",
    law="training equals generation",
    needs=("forward.agreement",),
    keys=("subject.collator", "subject.model"),
)

OWNERS = (
    "packed_without_block_mask", "padding_changes_row", "swapped_images", "mismatched_prompt", "copied_labels",
    "misaligned_loss", "unseen_image", "unheard_text", "leaking_image", "swallowed_key", "swallowed_inputs",
    "hidden_tokens", "shifted_mask", "broadcast_mask", "non_boolean_mask", "missing_placeholders",
    "placeholder_mismatch", "unmasked_padding", "dropped_rows", "malformed_grid", "malformed_tiling",
    "malformed_images", "truncated_image_tokens", "random_collator", "wrong_target", "uninitialised_buffer",
    "unaccepted_batch_key", "missing_required_input", "failing_batch", "squashed_page",
)  # fmt: skip
"""Diagnoses that see the cause itself, of which this is what it does to the logits."""


def examine(facts: Facts) -> Iterator[Finding]:
    forward = known(facts.forward)
    agreement = known(forward.agreement)
    departing = agreement.departing
    if not departing:
        return
    largest = max(*agreement.first, *agreement.along)
    cause, fix, snippet = _explain(facts, agreement)
    yield DIAGNOSIS.finding(
        f"{count_part(len(departing), len(agreement.first), 'is', 'are')} trained with logits that differ from those "
        f"{forward.model_class} generates with by up to {largest:.2g} of their standard deviation; expected at most "
        f"{agreement.tolerance:.0e}. {cause}",
        evidence=show_some(
            f"row {row}: {agreement.first[row]:.2g} at the first target, {agreement.along[row]:.2g} behind it"
            for row in departing
        ),
        fix=fix,
        snippet=snippet,
        owners=OWNERS,
    )


def _explain(facts: Facts, agreement: Agreement) -> tuple[str, str, str]:
    """What was found to be the cause, what to do, and what to copy."""
    if len(set(agreement.starts)) > 1:
        trained, read = agreement.starts
        return (
            f"Training starts the decoder with token {trained} (the model's configuration), generation with token {read} "
            "(its generation configuration).",
            "Set both to one token: the one that the published weights were trained with.",
            "model.config.decoder_start_token_id = model.generation_config.decoder_start_token_id",
        )
    mended = () if isinstance(agreement.mended_by, Unknown) else agreement.mended_by
    if not mended:
        return (
            "No single entry of the batch accounts for it.",
            "Compare the training batch with what the model's processor gives for the same page, entry by entry.",
            "",
        )
    collator = facts.collator
    given = () if isinstance(collator, Unknown) else getattr(collator.batch, "keys", ())
    name = mended[0]
    if name not in given:
        return (
            f"With `{name}` in the batch they are the same: the collator leaves it out.",
            f"Hand on `{name}` as the model's processor gives it, with a place for each target token.",
            f'batch["{name}"] = encoded["{name}"]',
        )
    if name not in agreement.expected:
        return (
            f"Without `{name}` in the batch they are the same: forward computes it otherwise than the collator.",
            f"Leave `{name}` out of the batch, so that forward computes it itself.",
            f'batch.pop("{name}")',
        )
    return (
        f"With the processor's `{name}` in the batch they are the same.",
        f"Hand on `{name}` as the model's processor gives it.",
        f'batch["{name}"] = encoded["{name}"]',
    )
