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
from preflight_ocr.probes.workbench.calls import Batch
from preflight_ocr.probes.workbench.tracing import attempt

NOT_OF_TEXT = frozenset(("mm_token_type_ids",))
"""Marks of a token that are 0 for text by what they mean: which kind of picture it stands for."""

NOT_CALLED = "the collator calls no processor with the text and the pictures of each row"
_OF_THE_BATCH = frozenset(
    ("suffix", "padding", "padding_side", "truncation", "max_length", "pad_to_multiple_of", "return_tensors", "labels")
)
"""Options that are about a batch or a target, and not about how a page is shown."""


class Call(NamedTuple):
    """One call of a processor: its texts, the pictures of each, its other options, and a copy of what it returned."""

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
    if shared is None:
        return Unknown(reason=NOT_CALLED)
    prompts: list[Batch] = []
    for at, (own, run) in enumerate(zip(shared, runs, strict=True)):
        said = parts.tokenizer.decode([i for i in run.tokens if i not in parts.end_ids]).strip()
        before = read_before(batch, runs, at)
        found = next((p for p in _try_out(parts, own, said) if p[TOKENS][0].tolist() == before), None)
        if found is None:
            return Unknown(reason="the processor writes other tokens for the text before the target than the collator")
        prompts.append(_round_as(batch, found))
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

    def call(self: Any, *given: Any, **named: Any) -> Any:
        # Before the call: some releases write the places of the pictures into the list of texts that they are given.
        noted = attempt(lambda: _note(takes.bind(self, *given, **named).arguments, self))
        returned = original(self, *given, **named)
        if isinstance(noted, Call):
            kept = attempt(lambda: _copy(returned))
            calls.append(noted._replace(returned={} if isinstance(kept, Raised) else kept))
        return returned

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
    named = {name: value for name, value in arguments.items() if name != "self"}
    for name in [n for n, value in named.items() if isinstance(value, dict) and not n.endswith("_kwargs")]:
        named |= named.pop(name)  # what came through **kwargs
    texts, pictures = named.pop("text", None), named.pop("images", None)
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        return None
    if pictures is None:
        shared: list[Any] = [None] * len(texts)
    elif len(texts) == 1:
        shared = [pictures[0] if _is_nested(pictures) and len(pictures) == 1 else pictures]
    elif isinstance(pictures, list | tuple) and len(pictures) == len(texts):
        shared = list(pictures)
    else:
        return None
    return Call(processor, tuple(texts), tuple(map(_as_list, shared)), named, {})


def _is_nested(pictures: Any) -> bool:
    return isinstance(pictures, list | tuple) and bool(pictures) and isinstance(pictures[0], list | tuple)


def _as_list(pictures: Any) -> list[Any] | None:
    if pictures is None:
        return None
    return list(pictures) if isinstance(pictures, list | tuple) else [pictures]


def _share_out(calls: Sequence[Call], rows: int) -> list[list[Call]] | None:
    """For each row its calls, each with one text: a call holds a text of each row, or calls follow row by row."""
    whole = [call for call in calls if len(call.texts) == rows]
    single = [call for call in calls if len(call.texts) == 1 and rows > 1]
    each, rest = divmod(len(single), rows)
    shared = [
        [
            *(c._replace(texts=(c.texts[row],), pictures=(c.pictures[row],)) for c in whole),
            *(() if rest else single[row * each : (row + 1) * each]),
        ]
        for row in range(rows)
    ]
    return shared if all(any(map(_holds_pictures, own)) for own in shared) else None


def _holds_pictures(call: Call) -> bool:
    return any(pictures is not None for pictures in call.pictures)


def _try_out(parts: Assembly, calls: Sequence[Call], said: str) -> Iterator[Batch]:
    """What the processor makes of each text: cut before the last place of `said`, and as it is."""
    for call in calls:
        text, pictures = call.texts[0], call.pictures[0]
        at = text.rfind(said) if said else -1
        cuts = [text] if at < 0 else [text[:at], text[:at].rstrip(" "), text]
        options = {name: value for name, value in call.options.items() if name not in _OF_THE_BATCH}
        # Some take a list of pictures for each text, some one list.
        shapes = [{}] if pictures is None else [{"images": [pictures]}, {"images": pictures}]
        for cut in dict.fromkeys(cuts):
            given = {"text": [cut], "return_tensors": "pt", **options}
            ended: Iterator[Any] = (attempt(partial(call.processor, **given, **shape)) for shape in shapes)
            made = next((one for one in ended if not isinstance(one, Raised)), None)
            if isinstance(made, Mapping) and isinstance(made.get(TOKENS), torch.Tensor):
                yield _take_tensors(parts, made)


def _take_tensors(parts: Assembly, made: Mapping[str, Any]) -> dict[str, Any]:
    """What forward takes of it by name."""
    return {name: value for name, value in made.items() if name in parts.forward_names and name != "labels"}
