"""What reading is asked with where nobody declares it: the collator's own calls of its processor, cut before the target.

Whoever trains through a processor reads through it too. While the collator makes its batch, every text and picture that it
gives to the processor is noted; the same call with the answer cut off is the prompt, with all that the processor hands over
beside it. It counts only where its tokens are exactly those that stand before the target in the training batch: how the
user asks is his own matter, and what differs behind equal tokens is not.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch

from preflight_ocr.harness.facts import Raised, Unknown
from preflight_ocr.probes.forward.runs import MASK, TOKENS, Run, read_before
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.batches import is_same
from preflight_ocr.probes.workbench.calls import Batch
from preflight_ocr.probes.workbench.tracing import attempt

NOT_OF_TEXT = frozenset(("mm_token_type_ids",))
"""Marks of a token that are 0 for text by what they mean: which kind of picture it stands for."""

NOT_CALLED = "the collator calls no processor with the text and the pictures of each row"
OTHER_TOKENS = "the processor writes other tokens for the text before the target than the collator"
MIXED = "which of the collator's calls of its processor is for which row cannot be told"
_OF_THE_BATCH = frozenset(
    ("suffix", "padding", "padding_side", "truncation", "max_length", "pad_to_multiple_of", "return_tensors", "labels")
)
"""Options that are about a batch or a target, and not about how a page is shown."""


class Call(NamedTuple):
    """One call of a processor: its texts, its other options, and a copy of what it returned.

    `pictures` has for each text what `images` would be for it alone, in the form that the collator gives them in; None for
    none.
    """

    processor: Any
    texts: tuple[str, ...]
    pictures: tuple[Any, ...]
    options: Mapping[str, Any]
    returned: Mapping[str, Any]


class Asked(NamedTuple):
    """A prompt [1, P] for each row of the sample, and the processor's batch of whole rows; empty where it made none."""

    prompts: list[Batch]
    whole: Batch


def ask(parts: Assembly, batch: Batch, runs: Sequence[Run], rows: Sequence[Any] | None = None) -> Asked | Unknown:
    """The prompts as our own collator reads with them; where it cannot read the rows, as the collator's processor does.

    `rows` are the rows of data that `batch` was made of, the sample where it is None, with one of `runs` each.
    """
    rows = parts.sample if rows is None else rows
    if parts.reference is not None:
        ours: list[Batch] = [parts.reference.prompts([dict(row)]) for row in rows]
        return Asked(ours, parts.seeded(parts.reference, rows))
    if parts.is_encoder_decoder:
        return Unknown(reason=f"{parts.no_reference}, and none of its prompts")
    asked = _ask_processor(parts, batch, runs, rows)
    if isinstance(asked, Unknown):
        return Unknown(reason=f"{parts.no_reference}, and {asked.reason}")
    own = asked.prompts[0]
    marks = {name for name, value in own.items() if getattr(value, "shape", None) == own[TOKENS].shape}
    if parts.family is None and (unknown := sorted(marks - {TOKENS, MASK, *NOT_OF_TEXT})):
        return Unknown(reason=f"nobody declares what `{unknown[0]}` is for a token that generation has written")
    return asked


def _ask_processor(parts: Assembly, batch: Batch, runs: Sequence[Run], rows: Sequence[Any]) -> Asked | Unknown:
    """The prompts of these rows by the processor that the collator calls. Unknown says why that does not tell."""
    with _listen(parts.processor) as calls:
        attempt(lambda: parts.seeded(parts.collate, rows))
    shared = _share_out(calls, len(rows))
    if not shared:
        return Unknown(reason=NOT_CALLED)
    prompts: list[Batch] = []
    for at, run in enumerate(runs):
        said = parts.tokenizer.decode([i for i in run.tokens if i not in parts.end_ids]).strip()
        before = read_before(batch, runs, at)
        found = [
            next((p for p in _try_out(parts, order[at], said) if p[TOKENS][0].tolist() == before), None)
            for order in shared
        ]
        prompt = found[0]
        if prompt is None:
            return Unknown(reason=OTHER_TOKENS)
        if not all(is_same(prompt, other) for other in found):
            return Unknown(reason=MIXED)
        prompts.append(_round_as(batch, prompt))
    whole = next((c.returned for c in calls if len(c.texts) == len(rows) and _holds_pictures(c)), {})
    return Asked(prompts, _round_as(batch, _take_tensors(parts, whole)))


def _round_as(batch: Batch, made: Batch) -> dict[str, Any]:
    """With numbers of the dtypes that the collator hands on: what rounding them costs is other contracts' business."""

    def round_one(name: str, value: Any) -> Any:
        given = batch.get(name)
        if not isinstance(value, torch.Tensor) or not isinstance(given, torch.Tensor):
            return value
        return value.to(given.dtype) if given.is_floating_point() and value.is_floating_point() else value

    return {name: round_one(name, value) for name, value in made.items()}


@contextmanager
def _listen(processor: Any) -> Iterator[list[Call]]:
    """The calls of this kind of processor in the block, in their order."""
    owner, calls = type(processor), []
    original = owner.__call__
    takes = inspect.signature(original)
    itself = next(iter(takes.parameters))
    rest = next((p.name for p in takes.parameters.values() if p.kind is p.VAR_KEYWORD), "")

    def call(self: Any, *given: Any, **named: Any) -> Any:
        # Before the call: some releases write the places of the pictures into the list of texts that they are given.
        noted = attempt(lambda: _note(bind(self, *given, **named), self))
        returned = original(self, *given, **named)
        if isinstance(noted, Call):
            kept = attempt(lambda: _copy(returned))
            calls.append(noted._replace(returned={} if isinstance(kept, Raised) else kept))
        return returned

    def bind(*given: Any, **named: Any) -> dict[str, Any]:
        """The arguments by their names, with those that only `**kwargs` takes, and without the processor itself."""
        bound = dict(takes.bind(*given, **named).arguments)
        further: dict[str, Any] = bound.pop(rest, {})
        return {name: value for name, value in bound.items() if name != itself} | further

    had_its_own = "__call__" in vars(owner)
    owner.__call__ = call
    try:
        yield calls
    finally:
        if had_its_own:
            owner.__call__ = original
        else:
            del owner.__call__


def _copy(returned: Any) -> dict[str, Any]:
    """What a processor returned: the collator goes on with it, and may write into it."""
    return {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in dict(returned).items()}


def _note(arguments: Mapping[str, Any], processor: Any) -> Call | None:
    """The call by its texts, with the pictures of each, before it returns; None where they cannot be told apart."""
    named = dict(arguments)
    texts, pictures = named.pop("text", None), named.pop("images", None)
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        return None
    if pictures is None or len(texts) == 1:
        shared: list[Any] = [pictures] * len(texts)
    elif isinstance(pictures, list | tuple) and len(pictures) == len(texts):
        shared = [[picture] for picture in pictures]
    else:
        return None
    return Call(processor, tuple(texts), tuple(shared), named, {})


def _share_out(calls: Sequence[Call], rows: int) -> list[list[list[Call]]]:
    """The orders that these calls can have, in each for every row its calls, with one text each; empty for none.

    A call holds a text of each row, or it is one row's: then all calls of a row come together, or the rows take turns.
    """
    whole = [call for call in calls if len(call.texts) == rows]
    single = [call for call in calls if len(call.texts) == 1 and rows > 1]
    each, rest = divmod(len(single), rows)
    orders: list[list[Sequence[Call]]] = (
        [[()] * rows]
        if rest or not single
        else [
            [single[row * each : (row + 1) * each] for row in range(rows)],
            [single[row::rows] for row in range(rows)],
        ]
    )
    found = [
        [
            [*(c._replace(texts=(c.texts[row],), pictures=(c.pictures[row],)) for c in whole), *own[row]]
            for row in range(rows)
        ]
        for own in orders
    ]
    return [order for order in found if all(any(map(_holds_pictures, own)) for own in order)]


def _holds_pictures(call: Call) -> bool:
    return any(pictures is not None for pictures in call.pictures)


def _try_out(parts: Assembly, calls: Sequence[Call], said: str) -> Iterator[Batch]:
    """What the processor makes of each text: cut before the last place of `said`, and as it is."""
    for call in calls:
        text, pictures = call.texts[0], call.pictures[0]
        at = text.rfind(said) if said else -1
        cuts = [text] if at < 0 else [text[:at], text[:at].rstrip(" "), text]
        given = {name: value for name, value in call.options.items() if name not in _OF_THE_BATCH}
        given |= {"return_tensors": "pt"} | ({} if pictures is None else {"images": pictures})
        for cut in dict.fromkeys(cuts):
            made: Any = attempt(partial(call.processor, text=[cut], **given))
            if isinstance(made, Mapping) and isinstance(made.get(TOKENS), torch.Tensor):
                yield _take_tensors(parts, made)


def _take_tensors(parts: Assembly, made: Mapping[str, Any]) -> dict[str, Any]:
    """What forward takes of it by name."""
    return {name: value for name, value in made.items() if name in parts.forward_names and name != "labels"}
