"""What reaches what: one thing in a batch is changed, and the logits say who heard of it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import ImageOps

from preflight_ocr.harness.facts import Behaviour, Raised, Unknown
from preflight_ocr.harness.training.quantising import mixes_rows, rounds
from preflight_ocr.probes.workbench.assembly import Assembly, Collate
from preflight_ocr.probes.workbench.batches import IGNORED, Span
from preflight_ocr.probes.workbench.calls import Batch, call, read_logits, read_signature
from preflight_ocr.probes.workbench.repair import substitute
from preflight_ocr.probes.workbench.tracing import attempt

MIXED_ROWS = "8-bit layers choose outlying channels over the whole batch, so that each row reaches the others a little"
DECODER = "decoder_input_ids"
TOLERANCE = 1e-3  # of the largest logit; float32 sums in another order differ by far less


def look_at_behaviour(
    parts: Assembly, batch: Batch, base: torch.Tensor, *, collate: Collate, repaired: Sequence[str]
) -> Behaviour | Unknown:
    """Change one thing in `batch`, whose logits are `base` [B, S, V], at a time and see which rows' logits change.

    `collate` made the batch; the arguments in `repaired` are the reference's.
    """

    def collate_again(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        made = parts.seeded(collate, rows)
        signature = read_signature(parts.bare)
        fresh = {k: v for k, v in made.items() if signature.accepts(k)}
        if repaired and parts.reference is not None:
            ours = parts.seeded(parts.reference, rows)
            for argument in repaired:
                fresh |= substitute(parts, argument, fresh, ours)
        return fresh

    def change() -> Behaviour:
        image_reaches, leaks = _change_images(parts, base, batch, collate_again)
        # A row alone is another batch; that it cannot be had says nothing about the images.
        padding = attempt(lambda: _remove_padding(parts, base, batch, collate_again))
        return Behaviour(
            text_reaches=_change_texts(parts, base, batch),
            image_reaches=image_reaches,
            image_leaks=Unknown(reason=MIXED_ROWS) if mixes_rows(parts.bare) else leaks,
            padding_changes=Unknown(reason=f"{padding.type} for one row alone: {padding.message}")
            if isinstance(padding, Raised)
            else padding,
        )

    # The user's collator and the model meet batches here that they have not seen yet.
    seen = attempt(change)
    return Unknown(reason=f"{seen.type} while a row was changed: {seen.message}") if isinstance(seen, Raised) else seen


def _differ(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Beyond rounding. Where a row is NaN on one side only, it differs."""
    left, right = left.float().nan_to_num(1e9), right.float().nan_to_num(1e9)
    return bool((left - right).abs().max() > TOLERANCE * max(1.0, float(left.abs().max())))


def _change_texts(parts: Assembly, base: torch.Tensor, batch: Batch) -> tuple[bool, ...]:
    """Another token at the first text position of a row: do the logits at or after it move?"""
    sequence = parts.reader.sequence
    ids = batch[sequence]
    changed = ids.clone()
    found = parts.reader.find_text(batch, parts.sample)
    for span, text in found:
        if text:
            row, first = span.sequence, text[0]
            others = {int(ids[row, i]) for i in text} - {int(ids[row, first])}
            changed[row, first] = min(others, default=(int(ids[row, first]) + 1) % base.shape[-1])
    after = read_logits(call(parts.bare, {**batch, sequence: changed, **_shift_decoder(batch, found, changed)}))

    def moves(span: Span, text: list[int]) -> bool:
        if not text:
            return True
        behind = span.sequence, slice(text[0], span.stop)
        return after is not None and _differ(base[behind], after[behind])

    return tuple(moves(span, text) for span, text in found)


def _shift_decoder(
    batch: Batch, found: Sequence[tuple[Span, list[int]]], labels: torch.Tensor
) -> dict[str, torch.Tensor]:
    """What the collator gives the decoder to begin with, where it does: the changed token follows one place behind."""
    given = batch.get(DECODER)
    if not isinstance(given, torch.Tensor) or given.dim() != 2:
        return {}
    shifted = given.clone()
    for span, text in found:
        if text and text[0] + 1 < shifted.shape[1]:
            shifted[span.sequence, text[0] + 1] = labels[span.sequence, text[0]]
    return {DECODER: shifted}


def _change_images(
    parts: Assembly, base: torch.Tensor, batch: Batch, collate_again: Any
) -> tuple[tuple[bool | None, ...], tuple[tuple[int, int], ...]]:
    """Another picture of the same size in one row: do that row's logits move, and no other's? Of a model that had to be cut
    the first row alone is changed, and of the others it is not known."""
    rows = list(parts.sample)
    # Several rows may stand in one sequence; else each has its own, and all of its logits are compared.
    spans = parts.reader.find_spans(batch, rows) if len(base) < len(rows) else ()
    places = [(s.sequence, slice(s.start, s.stop)) for s in spans] if len(spans) == len(rows) else [*range(len(base))]
    reaches: list[bool | None] = []
    leaks = []
    with tempfile.TemporaryDirectory() as folder:
        for index, row in enumerate(rows[:1] if parts.built.cut else rows):
            other = Path(folder) / f"{index}.png"
            changed_row = parts.change_page(row, other, lambda page: ImageOps.invert(ImageOps.mirror(page)))
            changed = collate_again([*rows[:index], changed_row, *rows[index + 1 :]])
            after = read_logits(call(parts.bare, changed))
            if after is None or after.shape != base.shape:
                return tuple(None for _ in rows), ()
            moved = [_differ(base[place], after[place]) for place in places]
            reaches.append(moved[index] if index < len(moved) else None)
            leaks += [(index, r) for r, flag in enumerate(moved) if flag and r != index]
    return tuple(reaches) + (None,) * (len(rows) - len(reaches)), tuple(leaks)


def _mask_of(parts: Assembly, batch: Batch) -> Any:
    """Where the tokens whose logits are compared stand; a decoder of its own has no mask but its labels."""
    if parts.reader.sequence == "input_ids":
        return batch.get("attention_mask")
    labels = batch.get("labels")
    return labels != IGNORED if isinstance(labels, torch.Tensor) else None


def _remove_padding(parts: Assembly, base: torch.Tensor, batch: Batch, collate_again: Any) -> bool | Unknown:
    """The shortest row alone, without padding: are its logits the same as in the batch?"""
    mask = _mask_of(parts, batch)
    if not isinstance(mask, torch.Tensor) or mask.dim() != 2:
        return Unknown(reason="the batch has no attention mask")
    if rounds(parts.bare):
        return Unknown(reason="in half precision, and with packed weights, rounding hides the answer")
    lengths = mask.bool().sum(1)
    row = int(lengths.argmin())
    if int(lengths[row]) == mask.shape[1]:
        return Unknown(reason="no row of the sample is padded")
    alone = collate_again([parts.sample[row]])
    attended = _mask_of(parts, alone)
    sequence = alone[parts.reader.sequence]
    own = torch.ones_like(sequence[0], dtype=torch.bool) if attended is None else attended[0].bool()
    if not torch.equal(sequence[0][own], batch[parts.reader.sequence][row][mask[row].bool()]):
        return Unknown(reason="the collator gives the row other tokens when it is alone")
    logits = read_logits(call(parts.bare, alone))
    if logits is None or logits.shape[:2] != sequence.shape:
        return Unknown(reason="the row alone has no logits of its own for each token")
    if not _differ(base[row][mask[row].bool()], logits[0][own]):
        return False
    # What a collator draws for the third row of a batch it does not draw for the first one.
    twice = read_logits(call(parts.bare, collate_again([parts.sample[row]] * 2)))
    if twice is None or len(twice) != 2 or _differ(twice[0], twice[1]):
        return Unknown(reason="the collator prepares one and the same row in two ways in one batch")
    return True
