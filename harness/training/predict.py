"""Reading pages: greedily, in batches, to the end that the model's own generation has, or until a row repeats itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import torch
import transformers

from preflight_ocr.harness.config import compat
from preflight_ocr.harness.training.collate import Collator, Sequenced
from preflight_ocr.harness.training.repetition import StopRunaway, find_runaway

Ended = Literal["end", "length", "repetition"]
"""How a text ended: the model ended it, it had as many tokens as were allowed, or it only repeated itself."""

WINDOW = 4
"""So many batches of pages are prepared at a time, and those of like length share one."""

LOG = logging.getLogger("preflight_ocr.harness.training")


def predict(
    model: torch.nn.Module,
    collator: Collator,
    rows: Sequence[Mapping[str, Any]],
    *,
    batch_size: int = 8,
    max_new_tokens: int = 512,
) -> list[str]:
    """The text the model reads in each row's image, in the order of the rows. Leaves the model's mode as it was."""
    found: list[Reading] = []
    for start in range(0, len(rows), WINDOW * batch_size):
        stop = min(start + WINDOW * batch_size, len(rows))
        prompts = [collator.prepare_prompt(rows[index]) for index in range(start, stop)]
        found += read(model, collator, prompts, batch_size=batch_size, max_new_tokens=max_new_tokens)
    return [one.text for one in found]


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What was read on one page. Of a repetition that never ended, one unit is left in `text`."""

    text: str
    ended: Ended


def read(
    model: torch.nn.Module,
    collator: Collator,
    sequences: Sequence[Sequenced],
    *,
    batch_size: int = 8,
    max_new_tokens: int = 512,
) -> list[Reading]:
    """What the model reads in prepared prompts, in their order. Prompts of like length share a batch.

    Leaves the model's mode as it was.
    """
    was_training = model.training
    model.eval()
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index].prompt.tokens))
    found: dict[int, Reading] = {}
    try:
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            batch = collator.join_prompts([sequences[index] for index in chosen])
            rows = decode(model, batch, collator=collator, max_new_tokens=max_new_tokens)
            found |= {index: _spell(row, collator, max_new_tokens) for index, row in zip(chosen, rows, strict=True)}
    finally:
        model.train(was_training)
    return [found[index] for index in range(len(sequences))]


def _spell(tokens: list[int], collator: Collator, max_new_tokens: int) -> Reading:
    kept = find_runaway(tokens)
    # One that ended by itself has room for its EOS.
    ended: Ended = "repetition" if kept is not None else "length" if len(tokens) >= max_new_tokens else "end"
    return Reading(text=collator.tokenizer.decode(tokens[:kept], skip_special_tokens=True), ended=ended)


def decode(
    model: torch.nn.Module, batch: Mapping[str, Any], *, collator: Collator, max_new_tokens: int
) -> list[list[int]]:
    """New tokens per row, without their end: by the model's `generate`, which has a cache, or by our loop where it has none.

    A `generate` that exists may still be bound to another version of transformers. That shows as an AttributeError or a
    TypeError in its first step, or, where it cannot tell a later step from the first and hands over the pictures again,
    as an AssertionError in the second. What fails in forward itself fails in our loop too, and is raised there.
    """
    ends = list_ends(_unwrap(model), collator.tokenizer)
    inputs = _move(dict(batch), next(model.parameters()).device)
    if hasattr(_unwrap(model), "generate"):
        try:
            # A decoder of its own begins with its start token, which may be the one that ends sequences.
            begin = 1 if collator.family.encoder_decoder else inputs["input_ids"].shape[1]
            limits: dict[str, Any] = {"max_new_tokens": max_new_tokens, "do_sample": False, "eos_token_id": list(ends)}
            limits["stopping_criteria"] = transformers.StoppingCriteriaList([StopRunaway(begin)])
            with torch.no_grad():
                found = model.generate(**inputs, **limits, pad_token_id=collator.tokenizer.pad_token_id)  # type: ignore[operator]
        except (AssertionError, AttributeError, TypeError) as error:
            if collator.family.encoder_decoder:
                raise
            seen = f"{type(error).__name__}: {error}"
            LOG.warning("generate of this model does not work here (%s); decoding without a cache", seen)
        else:
            return [_cut(row, ends, collator.tokenizer) for row in found[:, begin:].tolist()]
    return decode_greedily(model, inputs, collator=collator, max_new_tokens=max_new_tokens)


def list_ends(model: torch.nn.Module, tokenizer: Any) -> tuple[int, ...]:
    """The ids that end what this model writes: those of its generation configuration, else of its configuration, else the
    tokenizer's EOS. That is what whoever loads the model stops at, whatever the tokenizer says."""
    config: Any = getattr(model, "config", None)
    inner = (getattr(config, name, None) for name in ("text_config", "decoder"))
    places = (getattr(model, "generation_config", None), config, *inner, tokenizer)
    for place in places:
        found = getattr(place, "eos_token_id", None)
        ids = tuple(i for i in (found if isinstance(found, list | tuple) else [found]) if isinstance(i, int))
        if ids:
            return ids
    return ()


def decode_greedily(
    model: torch.nn.Module, batch: Mapping[str, Any], *, collator: Collator, max_new_tokens: int
) -> list[list[int]]:
    """New tokens per row, without their end, by forward alone, on which training relies anyway.

    It works where remote code has no `generate` (transformers 5) or a cache bound to another version, and costs one full
    forward per token.
    """
    written = write_greedily(model, batch, collator=collator, max_new_tokens=max_new_tokens)
    return [_cut(row, list_ends(_unwrap(model), collator.tokenizer), collator.tokenizer) for row in written]


@torch.no_grad()
def write_greedily(
    model: torch.nn.Module, batch: Mapping[str, Any], *, collator: Collator, max_new_tokens: int
) -> list[list[int]]:
    """New tokens per row with their end, and with whatever fills a row that ended earlier than others, by forward alone."""
    ends = list_ends(_unwrap(model), collator.tokenizer)
    mask_name = collator.family.argument("placement_mask")
    inputs = _move(dict(batch), next(model.parameters()).device)
    shape = inputs["input_ids"].shape
    own = ("input_ids", "attention_mask", mask_name)
    along = [name for name, value in inputs.items() if name not in own and getattr(value, "shape", None) == shape]
    options = {"use_cache": False} if "use_cache" in compat.accepted_names(_unwrap(model).forward) else {}
    rows = inputs["input_ids"].shape[0]
    written = inputs["input_ids"].new_empty((rows, 0))
    running = torch.ones(rows, dtype=torch.bool, device=inputs["input_ids"].device)
    stop = StopRunaway(0)
    for _ in range(max_new_tokens):
        placed = {} if collator.positions is None else {"position_ids": collator.positions(inputs)}
        chosen = model(**inputs, **placed, **options).logits[:, -1].argmax(-1)
        chosen = chosen.where(running, chosen.new_tensor(ends[0] if ends else 0))
        written = torch.cat((written, chosen[:, None]), dim=1)
        running &= ~torch.isin(chosen, chosen.new_tensor(ends)) & ~stop(written, None)
        if not running.any():
            break
        inputs["input_ids"] = torch.cat((inputs["input_ids"], chosen[:, None]), dim=1)
        inputs["attention_mask"] = _extend(inputs["attention_mask"], 1)
        if mask_name is not None:
            inputs[mask_name] = _extend(inputs[mask_name], 0)
        for name in along:
            inputs[name] = _extend(inputs[name], collator.family.target_marks.get(name, 0))
    rows_written: list[list[int]] = written.tolist()
    return rows_written


def _cut(row: list[int], ends: Sequence[int], tokenizer: Any) -> list[int]:
    """Without the end and what fills up behind it, or behind a row that was stopped."""
    last = next((at for at, token in enumerate(row) if token in ends), None)
    if last is not None:
        return row[:last]
    while row and row[-1] == tokenizer.pad_token_id:
        row = row[:-1]
    return row


def _extend(values: torch.Tensor, by: int) -> torch.Tensor:
    return torch.cat((values, values.new_full((values.shape[0], 1), by)), dim=1)


def _unwrap(model: torch.nn.Module) -> torch.nn.Module:
    base: torch.nn.Module = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    return base


def _move(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: _move(part, device) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_move(part, device) for part in value)
    return value
