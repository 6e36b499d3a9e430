"""Training equals generation: the logits that the labels are held to, against those that reading the same page computes.

Reading starts from the prompt that inference builds, with the arguments that inference hands over. Whatever the two have
apart (positions, token types, a mask, a start token, a neighbour in the same sequence) shows as a difference of logits.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
import torch
from transformers import LogitsProcessorList

from preflight_ocr.harness.facts import Agreement, Ends, Raised, Unknown
from preflight_ocr.harness.families.positions import find_positions
from preflight_ocr.harness.training.predict import list_ends
from preflight_ocr.harness.training.quantising import rounds
from preflight_ocr.probes.forward.asking import ask
from preflight_ocr.probes.forward.runs import LABELS, MASK, TOKENS, Run, ask_as_trained, find_runs, has_prompt
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.batches import is_same
from preflight_ocr.probes.workbench.calls import Batch, call, read_logits
from preflight_ocr.probes.workbench.tracing import attempt

TOLERANCE = 1e-3  # of the logits' standard deviation; healthy models in float32 stay below 1e-5
BEYOND_REFERENCE = 4.0  # in other dtypes: times what our own batch differs by
MOST_CACHED = 4  # tokens read with a cache, behind the first
DEAR = 2.0  # seconds of the processor for one reading, from which only the first row is read with a cache
OTHER_PROMPT = "the collator writes another prompt than the one that is read with"
ROUNDED = "in half precision, and with packed weights, rounding hides the answer"
POSITIONS = "position_ids"


class Reading(NamedTuple):
    """Logits [T, V] of one row, float32: for its target without a cache, and for the first ones by `generate`."""

    uncached: torch.Tensor
    generated: torch.Tensor | Raised | None


def look_at_agreement(parts: Assembly, batch: Batch, logits: torch.Tensor) -> Agreement | Unknown:
    """Compare `logits` [B, S, V], which forward gave for `batch`, with what generation computes for the sample's rows.

    `batch` is the collator's own, unrepaired. Unknown says why the two cannot be laid beside each other.
    """
    seen = attempt(lambda: _compare(parts, batch, logits))
    return Unknown(reason=f"{seen.type} while reading: {seen.message}") if isinstance(seen, Raised) else seen


def _compare(parts: Assembly, batch: Batch, logits: torch.Tensor) -> Agreement | Unknown:
    apart = parts.is_encoder_decoder
    runs = find_runs(parts, batch)
    if len(runs) != len(parts.sample):
        rows = len(parts.sample)
        return Unknown(reason=f"{rows} rows, and {len(runs)} supervised runs of labels: which is whose cannot be told")
    asked = ask(parts, batch, runs)
    if isinstance(asked, Unknown):
        return asked
    if parts.reference is None and rounds(parts.bare):
        return Unknown(reason=ROUNDED)
    prompts, reference = asked
    if apart:
        prompts = [ask_as_trained(batch, run, prompt) for run, prompt in zip(runs, prompts, strict=True)]
    elif not all(has_prompt(batch, runs, at, prompt) for at, prompt in enumerate(prompts)):
        return Unknown(reason=OTHER_PROMPT)
    readings = _read_all(parts, prompts, runs)
    if parts.reference is not None:
        batch, logits = _with_expected_images(parts, batch, reference, logits)
    deviation = max(float(readings[0].uncached.std()), 1e-6)
    first, along = _measure(parts, logits, runs, readings, deviation)
    tolerance = TOLERANCE
    if rounds(parts.bare):
        assert parts.reference is not None
        ours = read_logits(call(parts.bare, reference))
        theirs = find_runs(parts, reference)
        if not parts.collator_name or ours is None or [r.tokens for r in theirs] != [r.tokens for r in runs]:
            return Unknown(reason=ROUNDED)
        known = _measure(parts, ours, theirs, readings, deviation)
        tolerance = max(TOLERANCE, BEYOND_REFERENCE * max(map(max, known)))
    found = Agreement(
        first=first,
        along=along,
        cached=_measure_cache(readings, deviation),
        tolerance=tolerance,
        expected=tuple(reference),
        mended_by=(),
        packed=len(runs) > len({run.sequence for run in runs}),
        started_again=_find_repeated_starts(parts, runs) if apart else (),
        starts=_find_starts(parts) if apart else (),
        target_tokens=sum(len(run.tokens) - 1 for run in runs),
    )
    if not found.departing:
        return found

    def agrees(name: str) -> bool:
        changed = {key: value for key, value in batch.items() if key != name}
        if name in reference:
            changed[name] = reference[name]
        after = read_logits(call(parts.bare, changed))
        if after is None or after.shape != logits.shape:
            return False
        return max(map(max, _measure(parts, after, runs, readings, deviation))) <= tolerance

    names = [n for n in dict.fromkeys([*reference, *batch]) if n not in (TOKENS, LABELS)]
    different = [n for n in names if not is_same(batch.get(n), reference.get(n))]
    # What raises with one entry changed is no explanation.
    mended = tuple(name for name in different if attempt(partial(agrees, name)) is True)
    return msgspec.structs.replace(found, mended_by=mended)


def look_at_ends(parts: Assembly, batch: Batch) -> Ends | Unknown:
    """Hold the labels of each row against the ids that this model's generation stops at."""
    ids = list_ends(parts.bare, parts.tokenizer)
    runs = find_runs(parts, batch)
    if not ids or not runs:
        return Unknown(reason="generation stops at no id" if not ids else "no labels [B, S] are trained on")
    endless = {run.sequence: run.tokens[-1] for run in runs}
    for run in runs:
        if set(run.tokens) & set(ids):
            endless.pop(run.sequence, None)
    spell = parts.tokenizer.decode
    return Ends(
        stops=tuple((number, spell([number])) for number in ids),
        rows=len({run.sequence for run in runs}),
        endless=tuple(sorted(endless)),
        last=tuple((number, spell([number])) for number in dict.fromkeys(endless.values())),
    )


def _with_expected_images(
    parts: Assembly, batch: Batch, reference: Batch, logits: torch.Tensor
) -> tuple[Batch, torch.Tensor]:
    """The batch with the pictures of the reading's, where the collator prepares or augments its pages otherwise.

    What it does to the pages is other contracts' business; here it would hide everything else.
    """
    changed = take_expected_images(parts, batch, reference)
    if changed is batch:
        return batch, logits
    after = attempt(lambda: read_logits(call(parts.bare, changed)))
    return (batch, logits) if not isinstance(after, torch.Tensor) or after.shape != logits.shape else (changed, after)


def take_expected_images(parts: Assembly, batch: Batch, reference: Batch) -> Batch:
    """The batch with the pictures of our own collator's batch of the same rows; the very same where nothing differs."""
    names = [name for name, role in (parts.family.roles if parts.family else {}).items() if role != "placement_mask"]
    different = {n: reference[n] for n in names if n in reference and not is_same(batch.get(n), reference[n])}
    if different and MASK in batch and MASK in reference and TOKENS not in reference:
        different[MASK] = reference[MASK]  # of patches, where an encoder reads nothing but pictures
    return {**batch, **different} if different else batch


def _measure(
    parts: Assembly, logits: torch.Tensor, runs: Sequence[Run], readings: Sequence[Reading], deviation: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The largest difference of each row at its first target and behind it, in units of `deviation`."""
    shift = 0 if parts.is_encoder_decoder else 1
    first, along = [], []
    for run, reading in zip(runs, readings, strict=True):
        here = logits[run.sequence, max(run.start - shift, 0) : run.start + len(run.tokens) - shift].float()
        apart = _differ(here, reading.uncached)
        if isinstance(reading.generated, torch.Tensor) and len(reading.generated):
            apart[:1] = torch.maximum(apart[:1], _differ(here[:1], reading.generated[:1]))
        first.append(float(apart[0]) / deviation)
        along.append(float(apart[1:].max()) / deviation if len(apart) > 1 else 0.0)
    return tuple(first), tuple(along)


def _differ(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """[T]: the largest difference at each place that both have, over the vocabulary that both have."""
    rows, words = min(len(left), len(right)), min(left.shape[-1], right.shape[-1])
    return (left[:rows, :words].nan_to_num(1e9) - right[:rows, :words].nan_to_num(1e9)).abs().amax(-1)


def _measure_cache(readings: Sequence[Reading], deviation: float) -> tuple[float, ...] | Unknown:
    """How far `generate` departs from itself without a cache behind the first token, which comes from the prompt alone."""
    raised = next((r.generated for r in readings if isinstance(r.generated, Raised)), None)
    if raised is not None:
        return Unknown(reason=f"generate raised {raised.type}: {raised.message}")
    if any(r.generated is r.uncached for r in readings):
        return Unknown(
            reason="without labels forward lets a prompt see what stands behind it: nothing shows it uncached"
        )
    both = [(r.generated, r.uncached) for r in readings if isinstance(r.generated, torch.Tensor)]
    found = [_differ(generated, uncached)[1:] for generated, uncached in both]
    if not found:
        return Unknown(reason="the model has no generate")
    return tuple(float(apart.max()) / deviation if len(apart) else 0.0 for apart in found)


def _read_all(parts: Assembly, prompts: Sequence[Batch], runs: Sequence[Run]) -> list[Reading]:
    readings: list[Reading] = []
    dear = ahead = False
    for prompt, run in zip(prompts, runs, strict=True):
        started = time.thread_time()
        forced = _read_forced(parts, prompt, run.tokens)
        dear = dear or time.thread_time() - started > DEAR
        with_cache = callable(getattr(parts.bare, "generate", None)) and not (dear and readings)
        generated = attempt(partial(_generate, parts, prompt, run.tokens)) if with_cache else None
        if not parts.is_encoder_decoder and not rounds(parts.bare):
            ahead = ahead if readings else _looks_ahead(parts, prompt, forced, generated)
            if ahead:  # what one forward of prompt and target gives is nothing that generation computes
                forced = generated if isinstance(generated, torch.Tensor) else _read_prompt(parts, prompt)
        readings.append(Reading(forced, generated))
    return readings


def _looks_ahead(parts: Assembly, prompt: Batch, forced: torch.Tensor, generated: Any) -> bool:
    """Whether forward without labels lets the prompt's end see the target behind it, as PaliGemma's did before
    transformers 5. Where `generate` gave nothing it is asked of the prompt alone."""
    alone = generated if isinstance(generated, torch.Tensor) else _read_prompt(parts, prompt)
    return bool(len(alone)) and bool(_differ(forced[:1], alone[:1]).max() > TOLERANCE * float(forced.std()))


def _read_prompt(parts: Assembly, prompt: Batch) -> torch.Tensor:
    """Logits [1, V] behind the prompt alone."""
    return _need_logits(call(parts.bare, prompt))[0, -1:].float()


def _read_forced(parts: Assembly, prompt: Batch, tokens: Sequence[int]) -> torch.Tensor:
    """Logits [T, V] for the target's tokens, from one forward of the prompt with all but the last behind it."""
    if parts.is_encoder_decoder:
        started = torch.tensor([[_find_starts(parts)[1], *tokens[:-1]]])
        return _need_logits(call(parts.bare, {**prompt, "decoder_input_ids": started}))[0].float()
    inputs = append(parts, prompt, tokens[:-1])
    length = prompt[TOKENS].shape[1]
    return _need_logits(call(parts.bare, inputs))[0, length - 1 :].float()


def append(parts: Assembly, prompt: Batch, tokens: Sequence[int]) -> dict[str, Any]:
    """The prompt of one row with tokens written behind it, as generation goes on from it."""
    shape, written = prompt[TOKENS].shape, torch.tensor([list(tokens)], dtype=torch.long)
    family = parts.family
    mask_name, marks = (family.argument("placement_mask"), family.target_marks) if family else (None, {})
    inputs = dict(prompt)
    for name, value in prompt.items():
        if not isinstance(value, torch.Tensor) or value.shape != shape:
            continue
        number = 1 if name == MASK else 0 if name == mask_name else marks.get(name, 0)
        more = written if name == TOKENS else torch.full_like(written, number)
        inputs[name] = torch.cat((value, more.to(value.dtype)), dim=1)
    positions = find_positions(parts.bare) if parts.reference is None else parts.reference.positions
    if positions is not None:
        inputs[POSITIONS] = positions(inputs)
    return inputs


class _Force:
    """Makes generation write the given tokens, whatever it would choose."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = list(tokens)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        chosen = torch.full_like(scores, -torch.inf)
        chosen[:, self.tokens.pop(0)] = 0.0
        return chosen


def _generate(parts: Assembly, prompt: Batch, tokens: Sequence[int]) -> torch.Tensor:
    """Raw logits [at most 1 + MOST_CACHED, V] of the model's own generate, forced along the target."""
    wanted = list(tokens[: 1 + MOST_CACHED])
    with torch.no_grad():
        made = parts.bare.generate(
            **prompt,
            max_new_tokens=len(wanted),
            do_sample=False,
            num_beams=1,
            logits_processor=LogitsProcessorList([_Force(wanted)]),
            output_logits=True,
            return_dict_in_generate=True,
            pad_token_id=parts.tokenizer.pad_token_id,
        )
    return torch.cat(list(made.logits)).float()


def _need_logits(output: Any) -> torch.Tensor:
    logits = read_logits(output)
    if logits is None:
        raise LookupError("forward returned no logits")
    return logits


def _find_starts(parts: Assembly) -> tuple[int, int]:
    """The token that the decoder starts with in training, and in generation."""
    config, settings = parts.bare.config, getattr(parts.bare, "generation_config", None)
    decoder = getattr(config, "decoder", None) or getattr(config, "text_config", None)
    named = [getattr(one, "decoder_start_token_id", None) for one in (config, decoder)]
    trained = next((n for n in named if isinstance(n, int)), None)
    read = getattr(settings, "decoder_start_token_id", None)
    if trained is None:
        raise LookupError("the configuration names no decoder_start_token_id")
    return trained, read if isinstance(read, int) else trained


def _find_repeated_starts(parts: Assembly, runs: Sequence[Run]) -> tuple[int, ...]:
    """The rows whose labels begin with the decoder's start, which no configured first token asks for."""
    forced = getattr(getattr(parts.bare, "generation_config", None), "forced_bos_token_id", None)
    start = _find_starts(parts)[0]
    return () if forced == start else tuple(row for row, run in enumerate(runs) if run.tokens[0] == start)
