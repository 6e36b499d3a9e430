"""The model called with the user's batch: what it accepts, where features land, what reaches what.

A plain run stops at the first exception. Here an argument that stops forward is replaced by the reference's, noted as a
`Repair`, and the look goes on, so that everything wrong is seen in one run.
"""

from __future__ import annotations

import inspect
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from PIL import ImageOps
from torch import nn

from harness.facts import (
    Behaviour,
    Forward,
    Parameter,
    Raised,
    Repair,
    Signature,
    Site,
    Unknown,
    Wrapper,
)
from probes.assembly import Assembly
from probes.batches import RowReader, compare
from probes.collator import UNDECLARED, open_page
from probes.device import Redirect, redirect_cuda
from probes.landing import Trace, read_landing, trace_landing
from probes.tracing import attempt

Batch = Mapping[str, Any]
TOLERANCE = 1e-3  # of the largest logit; float32 sums in another order differ by far less


def observe(config_path: str, trust: bool, folder: str) -> dict[str, object]:
    """Run in a child: the Forward facts as builtins."""
    parts = Assembly(config_path, trust=trust, folder=Path(folder))
    with redirect_cuda() as redirected:
        facts = look_at_forward(parts)
    facts = msgspec.structs.replace(facts, redirected=tuple(describe_redirect(r) for r in redirected))
    result: dict[str, object] = msgspec.to_builtins(facts)
    return result


def describe_redirect(redirect: Redirect) -> Site:
    """A redirected accelerator call as a fact."""
    return Site(file=Path(redirect.file).name, line=redirect.line, code=redirect.code, kind=redirect.call)


def look_at_forward(parts: Assembly) -> Forward:
    """Everything one model and one collator show on the CPU without training."""
    loaded = attempt(lambda: (parts.model, parts.bare))
    if isinstance(loaded, Raised):
        return _unloaded(loaded)
    model, bare = loaded
    signature = read_signature(bare)
    reference = _collate_reference(parts)
    given = _collate_given(parts)
    start = given if isinstance(given, Mapping) else reference
    given_ended: Any = _try(model, given) if isinstance(given, Mapping) else given
    reference_ended: Any = _try(bare, reference) if isinstance(reference, Mapping) else reference
    facts = Forward(
        signature=signature,
        model_class=type(bare).__name__,
        weights="real" if parts.built.weights == "real" else "random",
        given=given_ended,
        reference=reference_ended,
        wrapper=_look_at_wrapper(model, bare, reference if isinstance(reference, Mapping) else given),
        dtypes=_count_dtypes(parts),
        embedding_rows=int(bare.get_input_embeddings().weight.shape[0]),
        has_generate=callable(getattr(bare, "generate", None)),
        padding_side=getattr(parts.tokenizer, "padding_side", None),
    )
    if not isinstance(start, Mapping):
        reason = start.reason if isinstance(start, Unknown) else "no batch to call the model with"
        return msgspec.structs.replace(facts, landing=Unknown(reason=reason), behaviour=Unknown(reason=reason))
    repaired, repairs, left = repair(parts, start, reference if isinstance(reference, Mapping) else None)
    facts = msgspec.structs.replace(facts, repairs=repairs, highest_token_id=_highest_id(start))
    if left is not None:
        stopped = Unknown(reason=f"forward raised {left.type}: {left.message}")
        return msgspec.structs.replace(facts, landing=stopped, behaviour=stopped, loss=stopped)
    landing, loss, vocabulary = _look_at_landing(parts, repaired)
    return msgspec.structs.replace(
        facts,
        landing=landing,
        loss=loss,
        uniform_loss=math.log(vocabulary) if vocabulary else Unknown(reason="forward returned no logits"),
        behaviour=_look_at_behaviour(parts, repaired, [r.argument for r in repairs], is_given=start is given),
    )


def _unloaded(raised: Raised) -> Forward:
    reason = Unknown(reason=f"the model could not be loaded: {raised.type}: {raised.message}")
    return Forward(
        signature=reason,
        model_class="",
        weights="random",
        loading=raised,
        given=reason,
        reference=reason,
        landing=reason,
        behaviour=reason,
        loss=reason,
        uniform_loss=reason,
        embedding_rows=reason,
        highest_token_id=reason,
        has_generate=reason,
    )


def read_signature(model: nn.Module) -> Signature:
    """Forward's parameters as `inspect` sees them."""
    kinds = {kind: kind.name.lower() for kind in inspect._ParameterKind}
    return Signature(
        owner=f"{type(model).__name__}.forward",
        parameters=tuple(
            Parameter(name=p.name, kind=kinds[p.kind], has_default=p.default is not p.empty)  # type: ignore[arg-type]
            for p in inspect.signature(type(model).forward).parameters.values()
            if p.name != "self"
        ),
    )


def _collate_reference(parts: Assembly) -> Batch | Unknown:
    if parts.reference is None:
        return Unknown(reason=UNDECLARED)
    return parts.seeded(parts.reference, parts.sample)


def _collate_given(parts: Assembly) -> Batch | Unknown:
    given = attempt(lambda: parts.seeded(parts.collate, parts.sample))
    if isinstance(given, Raised):
        return Unknown(reason=f"the collator raised {given.type}: {given.message}")
    return given


def call(model: nn.Module, batch: Batch) -> Any:
    """Forward without gradients, as a mapping-like output where the model can give one."""
    with torch.no_grad():
        return model(**batch)


def _try(model: nn.Module, batch: Batch) -> Any:
    ended = attempt(lambda: call(model, batch))
    return ended if isinstance(ended, Raised) else "ok"


def read_logits(output: Any) -> torch.Tensor | None:
    """The logits [B, S, V] of any output a model returns: attribute, key, or the first 3-D tensor of a tuple."""
    found = getattr(output, "logits", None)
    if found is None and isinstance(output, Mapping):
        found = output.get("logits")
    if found is None and isinstance(output, tuple):
        found = next((t for t in output if isinstance(t, torch.Tensor) and t.dim() == 3), None)
    return found if isinstance(found, torch.Tensor) else None


def repair(
    parts: Assembly, batch: Batch, reference: Batch | None
) -> tuple[dict[str, Any], tuple[Repair, ...], Raised | None]:
    """Replace what stops the bare model, one argument at a time: (batch that runs, what was replaced, what is left).

    Keys forward does not take are dropped first; missing ones are taken from the reference when forward needs them.
    """
    signature = read_signature(parts.bare)
    here = {k: v for k, v in batch.items() if signature.accepts(k)}
    repairs: list[Repair] = []
    for _ in range(len(signature.names)):
        raised = _try(parts.bare, here)
        if raised == "ok":
            return here, tuple(repairs), None
        chosen = _choose_repair(parts, here, reference, raised, [r.argument for r in repairs])
        if chosen is None:
            return here, tuple(repairs), raised
        here[chosen[0]] = chosen[1]
        repairs.append(Repair(argument=chosen[0], raised=raised))
    return here, tuple(repairs), _try(parts.bare, here)


def _choose_repair(
    parts: Assembly, here: Batch, reference: Batch | None, raised: Raised, done: Sequence[str]
) -> tuple[str, Any] | None:
    """The one argument whose replacement makes the exception go away, or else changes it."""
    if reference is None:
        return None
    roles = dict(parts.family.roles) if parts.family else {}
    suspicious = [d.argument for d in compare(here, reference, roles=roles, accepted=parts.forward_names)]
    candidates = [a for a in dict.fromkeys([*suspicious, *roles]) if a in reference and a not in done]
    changed = None
    for argument in candidates:
        replacement = substitute(parts, argument, here, reference)
        after = _try(parts.bare, {**here, argument: replacement})
        if after == "ok":
            return argument, replacement
        if changed is None and (after.type, after.message) != (raised.type, raised.message):
            changed = (argument, replacement)
    if changed is None and suspicious:
        first = next((a for a in suspicious if a in candidates), None)
        return None if first is None else (first, substitute(parts, first, here, reference))
    return changed


def substitute(parts: Assembly, argument: str, batch: Batch, reference: Batch) -> Any:
    """The reference's value; for a placement mask, the mask that belongs to the batch's own tokens."""
    is_mask = parts.family is not None and parts.family.roles.get(argument) == "placement_mask"
    ids = batch.get("input_ids")
    if is_mask and isinstance(ids, torch.Tensor):
        return ids == parts.reference.image_token_id  # type: ignore[union-attr]
    return reference[argument]


def _look_at_wrapper(model: nn.Module, bare: nn.Module, batch: Any) -> Wrapper | None:
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
        dropped=dropped,
        shared_names=shared,
        same_outputs=_compare_outputs(model, bare, batch) if not dropped else False,
    )


class _Recorded(Exception):
    """Leaves a forward as soon as its keywords are known."""


def record_keywords(model: nn.Module, run: Any) -> set[str] | None:
    """The keywords that reach `model.forward` while `run()` runs, None if it is never reached. Nothing is computed."""
    seen: set[str] | None = None
    names = [p for p in inspect.signature(type(model).forward).parameters if p != "self"]

    def recorder(*args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        given = {name for name, value in kwargs.items() if value is not None}
        seen = {*names[: len(args)], *given}
        raise _Recorded

    original = model.__dict__.get("forward")
    model.forward = recorder
    try:
        with torch.no_grad():
            attempt(run)  # what lies around forward is foreign and may also raise before it gets there
    finally:
        if original is None:
            del model.forward
        else:
            model.forward = original
    return seen


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
    return outer.shape == inner.shape and bool(torch.allclose(outer, inner, atol=TOLERANCE))


def _count_dtypes(parts: Assembly) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for name, parameter in parts.bare.named_parameters():
        if parameter.is_floating_point():
            part = counts.setdefault(parts.anatomy.part_of(name), {})
            dtype = str(parameter.dtype).removeprefix("torch.")
            part[dtype] = part.get(dtype, 0) + parameter.numel()
    return counts


def _highest_id(batch: Batch) -> int | Unknown:
    ids = batch.get("input_ids")
    return int(ids.max()) if isinstance(ids, torch.Tensor) and ids.numel() else Unknown(reason="no input_ids tensor")


def _look_at_landing(parts: Assembly, batch: Batch) -> tuple[Any, float | Unknown, int]:
    def run() -> tuple[Trace, Any]:
        with trace_landing(parts.bare, parts.anatomy) as trace:
            return trace, call(parts.bare, batch)

    ended = attempt(run)
    if isinstance(ended, Raised):
        return Unknown(reason=f"{ended.type}: {ended.message}"), Unknown(reason="not reached"), 0
    trace, output = ended
    landing = read_landing(trace, batch["input_ids"], getattr(parts.reference, "image_token_id", None))
    loss = getattr(output, "loss", None)
    logits = read_logits(output)
    known = float(loss) if isinstance(loss, torch.Tensor) else Unknown(reason="forward returned no loss")
    return landing, known, int(logits.shape[-1]) if logits is not None else 0


def _look_at_behaviour(
    parts: Assembly, batch: Batch, repaired: Sequence[str], *, is_given: bool
) -> Behaviour | Unknown:
    """Change one thing at a time and see which rows' logits change."""
    base = read_logits(call(parts.bare, batch))
    if base is None:
        return Unknown(reason="forward returned no logits")
    collate = parts.collate if is_given else parts.reference
    assert collate is not None

    def remake(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        made = parts.seeded(collate, rows)
        signature = read_signature(parts.bare)
        fresh = {k: v for k, v in made.items() if signature.accepts(k)}
        if repaired and parts.reference is not None:
            ours = parts.seeded(parts.reference, rows)
            fresh |= {a: substitute(parts, a, fresh, ours) for a in repaired}
        return fresh

    def change() -> Behaviour:
        image_reaches, leaks = _change_images(parts, base, remake)
        return Behaviour(
            text_reaches=_change_texts(parts, base, batch),
            image_reaches=image_reaches,
            image_leaks=leaks,
            padding_changes=_remove_padding(parts, base, batch, remake),
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
    ids = batch["input_ids"]
    reader = RowReader(
        parts.tokenizer, image_token_id=getattr(parts.reference, "image_token_id", None), mask_argument=None
    )
    reaches = []
    for row, facts in enumerate(reader.read(batch, parts.sample)):
        text = [i for i, role in enumerate(facts.roles) if role in "pt"]
        if not text:
            reaches.append(True)
            continue
        changed = ids.clone()
        others = {int(ids[row, i]) for i in text} - {int(ids[row, text[0]])}
        changed[row, text[0]] = min(others, default=(int(ids[row, text[0]]) + 1) % base.shape[-1])
        after = read_logits(call(parts.bare, {**batch, "input_ids": changed}))
        reaches.append(after is not None and _differ(base[row, text[0] :], after[row, text[0] :]))
    return tuple(reaches)


def _change_images(
    parts: Assembly, base: torch.Tensor, remake: Any
) -> tuple[tuple[bool | None, ...], tuple[tuple[int, int], ...]]:
    """Another picture of the same size in one row: do that row's logits move, and no other's?"""
    rows = [dict(row) for row in parts.sample]
    reaches: list[bool | None] = []
    leaks = []
    with tempfile.TemporaryDirectory() as folder:
        for index, row in enumerate(rows):
            other = Path(folder) / f"{index}.png"
            ImageOps.invert(ImageOps.mirror(open_page(row["image_path"]))).save(other)
            changed = remake([*rows[:index], {**row, "image_path": str(other)}, *rows[index + 1 :]])
            after = read_logits(call(parts.bare, changed))
            if after is None or after.shape != base.shape:
                return tuple(None for _ in rows), ()
            moved = [_differ(base[r], after[r]) for r in range(len(base))]
            reaches.append(moved[index] if index < len(moved) else None)
            leaks += [(index, r) for r, flag in enumerate(moved) if flag and r != index]
    return tuple(reaches), tuple(leaks)


def _remove_padding(parts: Assembly, base: torch.Tensor, batch: Batch, remake: Any) -> bool | Unknown:
    """The shortest row alone, without padding: are its logits the same as in the batch?"""
    mask = batch.get("attention_mask")
    if not isinstance(mask, torch.Tensor) or mask.dim() != 2:
        return Unknown(reason="the batch has no attention mask")
    if base.dtype != torch.float32 or any(d != "float32" for p in _count_dtypes(parts).values() for d in p):
        return Unknown(reason="in half precision, rounding hides the answer")
    lengths = mask.bool().sum(1)
    row = int(lengths.argmin())
    if int(lengths[row]) == mask.shape[1]:
        return Unknown(reason="no row of the sample is padded")
    alone = remake([dict(parts.sample[row])])
    logits = read_logits(call(parts.bare, alone))
    if logits is None or logits.shape[1] < int(lengths[row]):
        return Unknown(reason="the row alone has fewer tokens than in the batch")
    attended = alone.get("attention_mask")
    inside = logits[0] if attended is None else logits[0][attended[0].bool()]
    return len(inside) != int(lengths[row]) or _differ(base[row][mask[row].bool()], inside)
