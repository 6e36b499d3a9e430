"""What the model knows by heart, it does not write.

## What it does
Trains the adapter on one row until every supervised token is the likeliest one, given those before it, three steps in a row.
Then the model writes that page by itself: greedily, with settings that change no score, from the prompt that inference
builds. It has to write the same tokens and to stop. The same again in another process, with the adapter loaded from its
file. A row that is not known by heart within 150 steps, or 6 seconds, proves nothing and is Skipped.

## Why it matters
Training is always told the token before. Reading is not: it has its own cache, its own positions and its own end. Where a
text that was learnt completely does not come back, no number of pages will make it come back.

## Example
```text
known by heart after 23 steps:  bread and salt<eos>
written:                        bread and saltsaltsaltsalt
```

## Use instead
Find where the two part: write the page with `use_cache=False`; then with the generation configuration of the published
model; then without any wrapper around `generate` or `prepare_inputs_for_generation`.

## References
- Andrej Karpathy, "A Recipe for Training Neural Networks": overfit one batch, and look at what the model then does.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Learning, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRN009",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="the model writes the row that it knows by heart",
    law="memorise and read",
    needs=("learning.recital",),
    keys=("subject.model", "subject.collator"),
)

OWNERS = (
    "lost_adapter", "unsaved_weights", "frozen_new_tokens", "departing_cache", "training_differs_from_generation",
    "failing_generate", "unheeded_end", "unsupervised_eos", "misaligned_loss", "mismatched_prompt", "repeated_start",
    "uninitialised_buffer", "swallowed_inputs", "swallowed_key", "altering_wrapper", "random_collator",
    "packed_without_block_mask", "padding_changes_row", "unseen_image", "leaking_image", "missing_placeholders",
    "placeholder_mismatch", "shifted_mask", "broadcast_mask", "hidden_tokens", "wrong_target", "copied_labels",
    "conflicting_chat_templates", "wrapped_before_adapter", "doubled_module",
)  # fmt: skip
"""Diagnoses that see the cause itself, of which this is what a reader would see."""


def excuse(facts: Facts) -> str:
    learning = known(facts.learning)
    recital, trip = known(learning.recital), learning.round_trip
    if recital.read != recital.wanted:
        return ""
    reread = trip if isinstance(trip, Unknown) else trip.reread
    return reread.reason if isinstance(reread, Unknown) else ""


def examine(facts: Facts) -> Iterator[Finding]:
    recital = known(known(facts.learning).recital)
    if recital.read != recital.wanted:
        where, seen = "", f"{recital.read_text!r}"
    elif _is_forgotten(known(facts.learning)):
        where, seen = " after the adapter was saved and loaded in another process, though not before", "other tokens"
    else:
        return
    yield DIAGNOSIS.finding(
        f"Row {recital.row} is known by heart after {recital.steps} steps, and the model writes {seen}{where}; expected "
        f"{recital.text!r}.",
        evidence=(f"known: {list(recital.wanted)[:30]}", f"written: {list(recital.read)[:30]}"),
        fix="Save whatever was trained beside the adapter, and load it the same way."
        if where
        else "Write the page with use_cache=False, then with the published generation configuration, then without "
        "wrappers around generate: the one that helps names the cause.",
        snippet="model.save_pretrained(output_dir)  # of the PEFT model, with modules_to_save"
        if where
        else "model.generate(**prompt, do_sample=False, use_cache=False)",
        owners=OWNERS,
    )


def _is_forgotten(learning: Learning) -> bool:
    trip, recital = learning.round_trip, known(learning.recital)
    return not isinstance(trip, Unknown) and not isinstance(trip.reread, Unknown) and trip.reread != recital.wanted
