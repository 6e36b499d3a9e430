"""Memorise and read: one row is learnt by heart, and the model then has to write it by itself, and to stop.

A row that is right under teacher forcing at every place has nothing left to learn. Where generation then writes something
else, what keeps the two apart is neither the data nor the number of steps.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from preflight_ocr.harness.facts import NEUTRAL_SETTINGS, Raised, Recital, Unknown
from preflight_ocr.harness.training.predict import list_ends, write_greedily
from preflight_ocr.probes.forward.agreement import OTHER_PROMPT, take_expected_images
from preflight_ocr.probes.forward.asking import ask
from preflight_ocr.probes.forward.runs import Run, ask_as_trained, find_runs, has_prompt
from preflight_ocr.probes.workbench.assembly import Assembly, read_text, shorten
from preflight_ocr.probes.workbench.batches import IGNORED
from preflight_ocr.probes.workbench.calls import Batch, read_logits, read_loss
from preflight_ocr.probes.workbench.tracing import attempt

RATE = 5e-3
MOST_STEPS = 150
MOST_SECONDS = 6.0  # of the processor, so that the answer is the same on a busy machine
TRIED, USUAL_STEPS = 5, 50  # a row whose first steps are too slow for the usual number is given up at once
LONGEST = 24  # tokens of the target
FIRST_WORDS, FULL = 20, 5  # characters of a page full of text, which has FULL times as many
IN_A_ROW = 3  # steps at which every place was right; a single one may be luck
MORE = 8  # tokens that the model may write behind the row before it counts as going on
LABELS = "labels"


def recite(parts: Assembly, adapted: nn.Module, inner: nn.Module) -> Recital | Unknown:
    """Train the adapter on one row until it is known by heart, then let the model write it.

    Leaves the trained weights as they are then. Unknown says why there is nothing to compare.
    """
    candidates = _choose(parts)
    if isinstance(candidates, Unknown):
        return candidates
    too_large = float("inf")
    for row, _, batch, wanted in candidates:
        if _weigh(batch) >= too_large:
            break
        chosen, learned = (row, wanted), attempt(partial(_learn, parts, adapted, batch))
        if isinstance(learned, int):
            break
        too_large = _weigh(batch) if isinstance(learned, _TooSlow) else too_large
    row, wanted = chosen
    if isinstance(learned, Raised):
        return Unknown(reason=f"learning one row by heart raised {learned.type}: {learned.message}")
    if isinstance(learned, Unknown | _TooSlow):
        return learned if isinstance(learned, Unknown) else Unknown(reason=learned.reason)
    inner.eval()
    read = attempt(lambda: write(parts, inner, len(wanted) + MORE, row))
    if isinstance(read, Raised):
        return Unknown(reason=f"writing raised {read.type}: {read.message}")
    return Recital(
        row=row,
        steps=learned,
        wanted=wanted,
        text=parts.tokenizer.decode(list(wanted)),
        read=read,
        read_text=parts.tokenizer.decode(list(read)),
        hindering=_find_hindering(parts, inner, wanted, row) if read == wanted else (),
    )


# A row's number, the row as it is tried, the collator's batch of it alone, and what is to be written.
Candidate = tuple[int, Mapping[str, Any], Batch, tuple[int, ...]]


def _choose(parts: Assembly) -> tuple[Candidate, ...] | Unknown:
    """Rows to try: first the one with the longest target of at most LONGEST tokens, which tells more, then the one with the
    shortest. Where all are pages full of text they give their first words, if the collator takes them so."""
    found: list[Candidate] | Unknown = Unknown(reason="no row is long")
    if all(len(read_text(row)) > FULL * FIRST_WORDS for row in parts.sample):
        found = _read_rows(parts, [shorten(row, FIRST_WORDS) for row in parts.sample])
    if isinstance(found, Unknown):
        found = _read_rows(parts, parts.sample)
    if isinstance(found, Unknown):
        return found
    found.sort(key=lambda one: len(one[3]))
    longest = max(found, key=lambda one: len(one[3]) if len(one[3]) <= LONGEST else -len(one[3]))
    ours = parts.reference
    if ours is None:
        return longest, found[0]
    return tuple(
        (number, row, take_expected_images(parts, batch, parts.seeded(ours, [row])), wanted)
        for number, row, batch, wanted in (longest, found[0])
    )


def _read_rows(parts: Assembly, rows: Sequence[Mapping[str, Any]]) -> list[Candidate] | Unknown:
    """Each row by itself, as the collator trains on it."""
    ends = list_ends(parts.bare, parts.tokenizer)
    found: list[Candidate] = []
    for number, row in enumerate(rows):
        batch = attempt(partial(_collate, parts, row))
        if isinstance(batch, Raised):
            return Unknown(reason=f"the collator raised {batch.type} for a single row: {batch.message}")
        runs = find_runs(parts, batch, [row])
        if len(runs) != 1:
            return Unknown(
                reason=f"one row, and {len(runs)} supervised runs of labels: which is the target cannot be told"
            )
        asked = ask(parts, batch, runs, [row])
        if isinstance(asked, Unknown):
            return asked
        if not parts.is_encoder_decoder and not has_prompt(batch, runs, 0, asked.prompts[0]):
            return Unknown(reason=OTHER_PROMPT)
        if wanted := _cut_behind_end(runs[0], ends):
            found.append((number, row, batch, wanted))
    return found or Unknown(reason="no row's labels hold a token that generation stops at")


def _weigh(batch: Batch) -> int:
    """How many values a batch holds."""
    return sum(value.numel() for value in batch.values() if isinstance(value, torch.Tensor))


def _collate(parts: Assembly, row: Mapping[str, Any]) -> Batch:
    return parts.seeded(parts.collate, [row])


def _cut_behind_end(run: Run, ends: Sequence[int]) -> tuple[int, ...]:
    """The supervised tokens up to the last one that generation stops at; a template's line break behind it is nobody's."""
    last = max((at for at, token in enumerate(run.tokens) if token in ends), default=-1)
    return run.tokens[: last + 1]


class _TooSlow(NamedTuple):
    """A row of this size cannot be learnt by heart in the time that there is."""

    reason: str


def _learn(parts: Assembly, adapted: nn.Module, batch: Batch) -> int | Unknown | _TooSlow:
    """Optimizer steps until every supervised token was the likeliest one IN_A_ROW times.

    Nothing is dropped out: what is known with some of the adapter missing need not be known with all of it.
    """
    adapted.train()
    for module in adapted.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=RATE)
    started, right, share = time.thread_time(), 0, 0.0
    for step in range(MOST_STEPS):
        output = adapted(**batch)
        loss, logits = read_loss(output), read_logits(output)
        if not isinstance(loss, torch.Tensor) or logits is None:
            return Unknown(reason="forward returned no loss or no logits in training")
        if not bool(loss.isfinite()):
            return Unknown(reason=f"the loss is {float(loss)} at step {step + 1} of one row repeated")
        share = _share_right(parts, batch, logits)
        right = right + 1 if share == 1.0 else 0
        if right == IN_A_ROW:
            return step
        if step == 1:  # the first step also computes what the others take over: the pictures' features
            started = time.thread_time()
        taken, timed = time.thread_time() - started, step - 1
        # One step says little: it is given up for it only where it was very slow. A row that is right has few to go.
        allowed = None if right else {1: 3 * MOST_SECONDS, TRIED: MOST_SECONDS}.get(timed)
        if taken > MOST_SECONDS or (allowed is not None and taken / timed * USUAL_STEPS > allowed):
            so_far = f"{share:.0%} of it after {step} step{'s' if step != 1 else ''}"
            return _TooSlow(f"one row was not known by heart within {MOST_SECONDS:.0f} s: {so_far}")
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    return Unknown(reason=f"one row was not known by heart within {MOST_STEPS} steps: {share:.0%} of it")


def _share_right(parts: Assembly, batch: Batch, logits: torch.Tensor) -> float:
    """The share of supervised places [B, S] at which the likeliest token is the label."""
    labels = batch[LABELS]
    if not parts.is_encoder_decoder:
        labels, logits = labels[:, 1:], logits[:, :-1]
    kept = labels != IGNORED
    return float((logits.argmax(-1)[kept] == labels[kept]).float().mean())


def write(parts: Assembly, inner: nn.Module, most: int, row: int) -> tuple[int, ...]:
    """What the model writes for a row of the sample, at most `most` tokens and up to the first that it stops at.

    By its own `generate`, greedily and with settings that change no token's score; by forward alone where it has none that
    works with these releases.
    """
    with _set(inner, NEUTRAL_SETTINGS):
        return _write(parts, inner, most, row)


def _write(parts: Assembly, inner: nn.Module, most: int, row: int) -> tuple[int, ...]:
    prompt = _ask(parts, parts.sample[row])
    tokens = attempt(partial(_generate, parts, inner, prompt, most))
    if isinstance(tokens, Raised):
        if parts.is_encoder_decoder or parts.reference is None:
            raise RuntimeError(f"generate raised {tokens.type}: {tokens.message}")
        (tokens,) = write_greedily(inner, prompt, collator=parts.reference, max_new_tokens=most)
    return _cut(tokens, list_ends(inner, parts.tokenizer))


def _cut(tokens: Sequence[int], ends: Sequence[int]) -> tuple[int, ...]:
    """Up to the first token that writing ends at."""
    return tuple(tokens[: next((at + 1 for at, token in enumerate(tokens) if token in ends), len(tokens))])


def _ask(parts: Assembly, row: Mapping[str, Any]) -> Batch:
    """What inference hands over for a row; an encoder is asked in the words that the collator trains with."""
    if parts.reference is not None and not parts.is_encoder_decoder:
        prompt: Batch = parts.reference.prompts([dict(row)])
        return prompt
    batch = _collate(parts, row)
    runs = find_runs(parts, batch, [row])
    asked = ask(parts, batch, runs, [row])
    if isinstance(asked, Unknown):
        raise LookupError(asked.reason)
    return ask_as_trained(batch, runs[0], asked.prompts[0]) if parts.is_encoder_decoder else asked.prompts[0]


def _generate(parts: Assembly, inner: nn.Module, prompt: Batch, most: int) -> list[int]:
    generate: Any = inner.generate
    pad = parts.tokenizer.pad_token_id
    with torch.no_grad():
        made = generate(**prompt, max_new_tokens=most, do_sample=False, num_beams=1, pad_token_id=pad)
    tokens: list[int] = made[0, 1 if parts.is_encoder_decoder else prompt["input_ids"].shape[1] :].tolist()
    return tokens


@contextmanager
def _set(inner: nn.Module, values: Mapping[str, Any]) -> Iterator[None]:
    """The model's generation configuration with these settings, inside the block. A model without one stays as it is."""
    settings: Any = getattr(inner, "generation_config", None)
    if settings is None:
        yield
        return
    changed = copy.deepcopy(settings)
    for name, value in values.items():
        if hasattr(changed, name):
            setattr(changed, name, value)
    inner.generation_config = changed
    try:
        yield
    finally:
        inner.generation_config = settings


def _find_hindering(parts: Assembly, inner: nn.Module, wanted: tuple[int, ...], row: int) -> tuple[str, ...] | Unknown:
    """The settings of the model's own generation configuration, as `name: value`, that keep it from writing that."""
    settings: Any = getattr(inner, "generation_config", None)
    own = {name: getattr(settings, name, neutral) for name, neutral in NEUTRAL_SETTINGS.items()}
    own = {name: value for name, value in own.items() if value is not None and value != NEUTRAL_SETTINGS[name]}

    def keeps(values: Mapping[str, Any]) -> bool:
        with _set(inner, {**NEUTRAL_SETTINGS, **values}):
            tokens = _generate(parts, inner, _ask(parts, parts.sample[row]), len(wanted) + MORE)
        return _cut(tokens, list_ends(inner, parts.tokenizer)) != wanted

    found = attempt(lambda: keeps(own) if own else False)
    if isinstance(found, Raised):
        return Unknown(reason=f"generate raised {found.type} with the model's own settings: {found.message}")
    if not found:
        return ()
    alone = tuple(f"{name}: {value}" for name, value in own.items() if attempt(partial(keeps, {name: value})) is True)
    return alone or tuple(f"{name}: {value}" for name, value in own.items())
