"""The model called with the user's batch: what it accepts, where features land, what reaches what."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from preflight_ocr.harness.facts import Agreement, Forward, Landing, Placement, Raised, Site, Unknown, Wrapper, blank
from preflight_ocr.harness.families.anatomy import find_embeddings
from preflight_ocr.harness.training.redirects import Redirect, redirect_cuda
from preflight_ocr.probes.batch.collator import look_at_reference
from preflight_ocr.probes.batch.processor import record_openings
from preflight_ocr.probes.forward.agreement import look_at_agreement, look_at_ends
from preflight_ocr.probes.forward.behaviour import TOLERANCE, look_at_behaviour
from preflight_ocr.probes.forward.buffers import find_lost_buffers
from preflight_ocr.probes.forward.positions import look_at_positions, record_positions
from preflight_ocr.probes.placement import InitialState, look_at_placement, remember
from preflight_ocr.probes.workbench.assembly import Assembly, Collate, is_long
from preflight_ocr.probes.workbench.batches import IGNORED
from preflight_ocr.probes.workbench.brought import open_parts
from preflight_ocr.probes.workbench.calls import (
    Batch,
    Seen,
    call,
    read_logits,
    read_loss,
    read_signature,
    record_keywords,
)
from preflight_ocr.probes.workbench.generation import look_at_generation
from preflight_ocr.probes.workbench.half import speed_up_half
from preflight_ocr.probes.workbench.landing import read_landing, share_landing
from preflight_ocr.probes.workbench.memory import give_freed_memory_back, keep_freed_memory
from preflight_ocr.probes.workbench.repair import make_runnable, repair
from preflight_ocr.probes.workbench.towers import keep_towers
from preflight_ocr.probes.workbench.tracing import attempt

FEWER_ROWS = 2  # of a large model: enough for what one row does to another
TOKENIZED_ROWS = 1000  # about a second
APART = Unknown(reason="an encoder-decoder keeps the picture apart from the text: nothing is placed among the tokens")


def observe(config_path: str, trust: bool, folder: str) -> dict[str, object]:
    """Run in a child: the Forward facts as builtins."""
    return observe_parts(open_parts(config_path, trust=trust, folder=Path(folder)))


def observe_parts(parts: Assembly) -> dict[str, object]:
    """The same of parts that are there."""
    keep_freed_memory()
    with redirect_cuda() as redirected, record_openings() as openings:
        facts = look_at_forward(parts)
    facts = msgspec.structs.replace(
        facts,
        redirected=tuple(describe_redirect(r) for r in redirected),
        processor_calls=tuple(dict.fromkeys(openings)),
    )
    result: dict[str, object] = msgspec.to_builtins(facts)
    return result


def describe_redirect(redirect: Redirect) -> Site:
    """A redirected accelerator call as a fact."""
    return Site(file=Path(redirect.file).name, line=redirect.line, code=redirect.code, kind=redirect.call, runs=None)


def look_at_forward(parts: Assembly) -> Forward:
    """Everything one model and one collator show on the CPU without training."""
    loaded = attempt(lambda: (parts.model, parts.bare))
    if isinstance(loaded, Raised):
        return _unloaded(loaded)
    model, bare = loaded
    with speed_up_half(bare, parts.config.training), keep_towers(bare, parts.anatomy):
        return _look_at_loaded(parts, model, bare)


def _look_at_loaded(parts: Assembly, model: nn.Module, bare: nn.Module) -> Forward:
    if parts.built.cut:  # so large that the logits of each row, over a real vocabulary, take a gigabyte
        parts.sample = parts.sample[-FEWER_ROWS:]
        give_freed_memory_back()
    lost = find_lost_buffers(parts)  # before any forward: some buffers are filled or grown by it
    initial_state = remember(model)
    reference = _collate_reference(parts)
    given = _collate_given(parts) if parts.collator_name else reference
    facts = Forward(
        signature=read_signature(bare),
        model_class=type(bare).__name__,
        loading=parts.loading,
        weights="real" if parts.built.weights == "real" else "random",
        wrapper=look_at_wrapper(model, bare, reference if isinstance(reference, Mapping) else given),
        dtypes=_count_dtypes(parts),
        embedding_rows=int(find_embeddings(bare).weight.shape[0]),
        has_generate=callable(getattr(bare, "generate", None)),
        padding_side=getattr(parts.tokenizer, "padding_side", None),
        lost_buffers=lost,
        repairs=(),
        redirected=(),
        processor_calls=(),
    )
    start, collate = (given, parts.collate) if isinstance(given, Mapping) else (reference, parts.reference)
    if not isinstance(start, Mapping) or collate is None:
        reason = start if isinstance(start, Unknown) else Unknown(reason="no batch to call the model with")
        return msgspec.structs.replace(
            facts,
            given=reason,
            reference=reason,
            landing=reason,
            behaviour=reason,
            idle_keys=reason,
            agreement=reason,
            ends=reason,
            placement=reason,
            returned=reason,
            positions=reason,
        )
    facts = msgspec.structs.replace(facts, ends=look_at_ends(parts, start))
    with record_positions(parts) as recorded:
        batch, repairs, seen = repair(parts, start, reference if isinstance(reference, Mapping) else None)
    untouched = not repairs and len(batch) == len(start)
    facts = msgspec.structs.replace(
        facts,
        given=_end(model, bare, given, seen if untouched and start is given else None),
        reference=_end(bare, bare, reference, seen if untouched and start is reference else None),
        repairs=repairs,
        highest_token_id=_find_highest_id(parts, start, reference),
    )
    while isinstance(seen, Raised) and make_runnable(parts, start):
        yardstick = parts.seeded(parts.reference, parts.sample) if parts.reference else None
        batch, repairs, seen = repair(parts, parts.seeded(collate, parts.sample), yardstick)
        # The exception behind a cured one is the model's own: the ids that caused the first are a fact by themselves.
        which = "given" if parts.reference is None else "reference"
        still = seen if isinstance(seen, Raised) else getattr(facts, which)
        facts = msgspec.structs.replace(facts, repairs=repairs, **{which: still})
    if isinstance(seen, Raised):
        reason = Unknown(reason=f"forward raised {seen.type}: {seen.message}")
        return msgspec.structs.replace(
            facts,
            landing=reason,
            behaviour=reason,
            returned=reason,
            positions=reason,
            loss=reason,
            idle_keys=reason,
            agreement=reason,
            placement=reason,
        )
    no_logits = Unknown(reason="forward returned no logits")
    facts = msgspec.structs.replace(
        facts,
        wrapper=_look_again(facts.wrapper, model, bare, batch),
        landing=APART if parts.is_encoder_decoder else _read_landing(parts, batch, seen),
        idle_keys=find_idle_keys(parts, batch, seen),
        returned=_name_returned(seen),
        positions=look_at_positions(parts, batch, recorded),
        loss=_describe_loss(read_loss(seen.output)),
        loss_reads=find_reading(read_loss(seen.output), seen.logits, batch.get("labels")),
        loss_by_token=average_by_token(read_loss(seen.output), seen.logits, batch.get("labels")),
        uniform_loss=no_logits if seen.logits is None else math.log(seen.logits.shape[-1]),
    )
    logits = seen.logits
    del seen  # with a real vocabulary, what it holds is gigabytes
    agreement: Agreement | Unknown | None = None
    if not parts.built.cut:
        facts = msgspec.structs.replace(facts, generation=look_at_generation(parts))
        agreement = _look_at_agreement(parts, batch, logits, is_taken=untouched)
    with _take_first_words(parts, batch if untouched else None, logits, collate) as shorter:
        if shorter is not None:
            batch, logits = shorter.batch, shorter.logits
            start = batch
        if agreement is None:
            facts = msgspec.structs.replace(facts, generation=look_at_generation(parts))
            agreement = _look_at_agreement(parts, batch, logits, is_taken=untouched)
        facts = msgspec.structs.replace(
            facts,
            agreement=agreement,
            behaviour=no_logits
            if logits is None
            else look_at_behaviour(parts, batch, logits, collate=collate, repaired=[r.argument for r in repairs]),
        )
        if shorter is not None and parts.built.cut:  # where something is computed is the same for one row
            rows, parts.sample = parts.sample, parts.sample[:1]
            one: Any = attempt(lambda: dict(parts.seeded(collate, parts.sample)))
            parts.sample = rows if isinstance(one, Raised) else parts.sample
            start = batch = batch if isinstance(one, Raised) else one
        return msgspec.structs.replace(
            facts, placement=_look_at_placement(parts, initial_state, start, batch, is_taken=facts.given == "ok")
        )


class _Shorter(NamedTuple):
    """A batch of rows whose texts were cut, and its logits [B, S, V]."""

    batch: dict[str, Any]
    logits: torch.Tensor


@contextmanager
def _take_first_words(
    parts: Assembly, batch: Batch | None, logits: torch.Tensor | None, collate: Collate
) -> Iterator[_Shorter | None]:
    """Where the rows of `batch` are as long as a written page, the sample is shorter rows for the length of the block.

    Some ten calls of the model follow, attention costs the square of the length, and neither what reaches what nor where it
    is computed depends on it. Training against generation is held on the whole rows all the same, unless the model is so
    large that it was cut. None where rows are short, forward does not take them as they are, or the collator not the
    shorter ones.
    """
    whole, shorter = parts.sample, None
    if batch is not None and logits is not None and is_long(batch):
        rows: Any = attempt(lambda: parts.shorten_rows(whole))
        parts.sample = whole if isinstance(rows, Raised) else rows
        made: Any = attempt(lambda: dict(parts.seeded(collate, parts.sample)))
        found = attempt(lambda: read_logits(call(parts.bare, made))) if isinstance(made, dict) else None
        shorter = _Shorter(made, found) if isinstance(found, torch.Tensor) else None
    try:
        if shorter is None:
            parts.sample = whole
        yield shorter
    finally:
        parts.sample = whole


def _read_landing(parts: Assembly, batch: Batch, seen: Seen) -> tuple[Landing, ...] | Unknown:
    image, spans = parts.image_token_id, parts.reader.find_spans(batch, parts.sample)
    landings = read_landing(parts.bare, parts.anatomy, batch, seen.trace, image_token_id=image)
    if isinstance(landings, Unknown) or len(spans) <= len(landings):
        return landings
    return share_landing(landings, [(s.sequence, s.start, s.stop) for s in spans], batch["input_ids"], image)


def _name_returned(seen: Seen) -> tuple[str, ...] | Unknown:
    """Under their names; a plain tuple has none, and its loss or logits are told by their shapes."""
    if isinstance(seen.output, Mapping):
        return tuple(map(str, seen.output))
    found = {"loss": read_loss(seen.output), "logits": seen.logits}
    names = tuple(name for name, value in found.items() if value is not None)
    return names or Unknown(reason=f"forward returned a {type(seen.output).__name__}, whose entries have no names")


def _look_at_agreement(
    parts: Assembly, batch: Batch, logits: torch.Tensor | None, *, is_taken: bool
) -> Agreement | Unknown:
    """Training against generation, of a batch that forward took as it came."""
    if not is_taken or logits is None:
        return Unknown(reason="forward did not take the collator's batch as it came, or returned no logits")
    return look_at_agreement(parts, batch, logits)


def _look_at_placement(
    parts: Assembly, initial_state: InitialState, start: Batch, batch: Batch, *, is_taken: bool
) -> Placement | Unknown:
    """On a simulated accelerator: the user's batch where their model takes it, else the one that the bare model takes."""
    if is_taken:
        return look_at_placement(parts, initial_state, start, repaired={}, whole=True)
    whole = parts.model is parts.bare or not isinstance(attempt(lambda: call(parts.model, batch)), Raised)
    repaired = {name: value for name, value in batch.items() if value is not start.get(name)}
    return look_at_placement(parts, initial_state, batch, repaired=repaired, whole=whole)


def _end(model: nn.Module, bare: nn.Module, batch: Any, seen: Seen | Raised | None) -> Any:
    """How forward ends with this batch; `seen` is what the bare model already showed for it."""
    if isinstance(batch, Unknown):
        return batch
    if seen is None or model is not bare:
        ended = attempt(lambda: call(model, batch))
        return ended if isinstance(ended, Raised) else "ok"
    return seen if isinstance(seen, Raised) else "ok"


def find_idle_keys(parts: Assembly, batch: Batch, seen: Seen) -> tuple[str, ...] | Unknown:
    """The keys that only `**kwargs` takes, and without which forward gives the same logits and the same loss."""
    unnamed = [name for name in batch if name not in parts.forward_names]
    if unnamed and seen.logits is None:
        return Unknown(reason="forward returned no logits")

    def is_idle(name: str) -> bool:
        output = call(parts.bare, {key: value for key, value in batch.items() if key != name})
        return _is_same(read_logits(output), seen.logits) and _is_same(read_loss(output), read_loss(seen.output))

    # What raises without its key is used by forward.
    return tuple(name for name in unnamed if attempt(partial(is_idle, name)) is True)


def _is_same(left: Any, right: Any) -> bool:
    if not isinstance(left, torch.Tensor) or not isinstance(right, torch.Tensor):
        return left is None and right is None
    return left.shape == right.shape and bool(torch.allclose(left, right, atol=TOLERANCE, equal_nan=True))


def find_reading(loss: Any, logits: Any, labels: Any) -> Any:
    """Which label the logits of a position are held to: the one after it, its own, or neither as far as can be told.

    `loss` is what forward returned for `logits` [B, S, V] and `labels` int64 [B, S]; it is computed again both ways.
    """
    tensors = [value for value in (loss, logits, labels) if isinstance(value, torch.Tensor)]
    if len(tensors) < 3 or logits.shape[:2] != labels.shape:
        return Unknown(reason="forward returned no loss, or logits of another length than the labels")
    pairs = _pair(logits, labels)
    computed = {
        name: float(cross_entropy(given.float().flatten(0, 1), wanted.flatten(), ignore_index=IGNORED))
        for name, (given, wanted) in pairs.items()
    }
    exact = 1e-3  # the very logits that the loss was computed from
    if abs(computed["same"] - computed["next"]) < 4 * exact * abs(computed["next"]):
        return Unknown(reason="both readings of the labels give this loss")
    near = (name for name, value in computed.items() if abs(value - float(loss)) <= exact * abs(value))
    return next(near, "neither")


def _pair(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Each reading of the labels -> logits [B, S', V] and the labels [B, S'] that they are held to."""
    return {"same": (logits, labels), "next": (logits[:, :-1], labels[:, 1:])}


def average_by_token(loss: Any, logits: Any, labels: Any) -> float | Unknown:
    """The loss in nats where each kind of target token counts once, however often the targets repeat it.

    The arguments are those of `find_reading`. A token that stands in every row is one observation of the model and no more.
    """
    tensors = [value for value in (loss, logits, labels) if isinstance(value, torch.Tensor)]
    if len(tensors) < 3 or logits.shape[:2] != labels.shape:
        return Unknown(reason="forward returned no loss, or logits of another length than the labels")
    for given, wanted in _pair(logits, labels).values():
        each = cross_entropy(given.float().flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="none")
        kept, ids = each[wanted.flatten() != IGNORED], wanted.flatten()[wanted.flatten() != IGNORED]
        if kept.numel() and abs(float(kept.mean()) - float(loss)) <= 1e-3 * abs(float(loss)):
            return float(torch.stack([kept[ids == kind].mean() for kind in torch.unique(ids)]).mean())
    return Unknown(reason="the loss is not the mean over the labels, so that it cannot be told by token")


def _describe_loss(loss: Any) -> float | Unknown:
    if not isinstance(loss, torch.Tensor):
        return Unknown(reason="forward returned no loss")
    value = float(loss)
    return value if math.isfinite(value) else Unknown(reason=f"the loss is {value}")


def _unloaded(raised: Raised) -> Forward:
    reason = Unknown(reason=f"the model could not be loaded: {raised.type}: {raised.message}")
    return blank(
        Forward,
        reason,
        signature=reason,
        model_class="",
        weights="random",
        loading=raised,
        repairs=(),
        dtypes={},
        redirected=(),
        padding_side=None,
        processor_calls=(),
    )


def _collate_reference(parts: Assembly) -> Batch | Unknown:
    reference, expected = look_at_reference(parts)
    if reference is None:
        return expected if isinstance(expected, Unknown) else Unknown(reason=parts.no_reference)
    return reference


def _collate_given(parts: Assembly) -> Batch | Unknown:
    given = attempt(lambda: parts.seeded(parts.collate, parts.sample))
    if isinstance(given, Raised):
        return Unknown(reason=f"the collator raised {given.type}: {given.message}")
    return given


def look_at_wrapper(model: nn.Module, bare: nn.Module, batch: Any) -> Wrapper | None:
    """What a module around the model lets through: run it with the inner forward replaced by a recorder."""
    if model is bare:
        return None
    shared = _find_shared(model)
    arrived: set[str] | None = None
    if isinstance(batch, Mapping):
        arrived = record_keywords(bare, lambda: model(**batch))
    dropped = tuple(k for k in batch if k not in arrived) if isinstance(batch, Mapping) and arrived is not None else ()
    return Wrapper(
        class_name=type(model).__name__,
        inner_class=type(bare).__name__,
        inner_name=next((name for name, module in model.named_modules() if module is bare), "model"),
        dropped=dropped,
        shared_names=shared,
        same_outputs=_compare_outputs(model, bare, batch) if not dropped else False,
    )


def _look_again(
    wrapper: Wrapper | Unknown | None, model: nn.Module, bare: nn.Module, batch: Batch
) -> Wrapper | Unknown | None:
    """The wrapper with a batch that the model inside it is known to run, where the first one could not be run."""
    if not isinstance(wrapper, Wrapper) or not isinstance(wrapper.same_outputs, Unknown):
        return wrapper
    return msgspec.structs.replace(wrapper, same_outputs=_compare_outputs(model, bare, batch))


def _find_shared(model: nn.Module) -> tuple[tuple[str, str], ...]:
    """Pairs of names for one module that holds most of the weights; tied small modules are the model's own business."""
    total = sum(p.numel() for p in model.parameters())
    first: dict[int, str] = {}
    pairs: list[tuple[str, str]] = []
    for name, module in model.named_modules(remove_duplicate=False):
        if sum(p.numel() for p in module.parameters()) * 2 < total or not name:
            continue
        if id(module) in first and not any(name.startswith(b + ".") for _, b in pairs):
            pairs.append((first[id(module)], name))
        first.setdefault(id(module), name)
    return tuple(pairs)


def _compare_outputs(model: nn.Module, bare: nn.Module, batch: Any) -> bool | Unknown:
    if not isinstance(batch, Mapping):
        return Unknown(reason="no batch to compare with")
    both = attempt(lambda: (read_logits(call(model, batch)), read_logits(call(bare, batch))))
    if isinstance(both, Raised):
        return Unknown(reason=f"{both.type}: {both.message}")
    outer, inner = both
    if outer is None or inner is None:
        return Unknown(reason="no logits to compare")
    return outer.shape == inner.shape and bool(torch.allclose(outer, inner, atol=TOLERANCE, equal_nan=True))


def _count_dtypes(parts: Assembly) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for name, parameter in parts.bare.named_parameters():
        if parameter.is_floating_point():
            part = counts.setdefault(parts.anatomy.part_of(name), {})
            dtype = str(parameter.dtype).removeprefix("torch.")
            part[dtype] = part.get(dtype, 0) + parameter.numel()
    return counts


def _find_highest_id(parts: Assembly, *batches: Any) -> int | Unknown:
    """The highest token id in these batches and in the texts of the rows, most of which are in no batch."""
    tensors = [batch.get(name) for batch in batches if isinstance(batch, Mapping) for name in ("input_ids", "labels")]
    found = [int(ids.max()) for ids in tensors if isinstance(ids, torch.Tensor) and ids.numel()]
    if not found:
        return Unknown(reason="no input_ids tensor")
    texts = parts.list_texts(TOKENIZED_ROWS)
    encoded = attempt(lambda: [parts.tokenizer.encode(text, add_special_tokens=False) for text in texts])
    written = [] if isinstance(encoded, Raised) else [int(token) for ids in encoded for token in ids]
    return max(found + written)
