"""Going on after an exception: replace what stops forward, one argument at a time, and write down each replacement.

A plain run stops at the first exception and hides whatever lies behind it. Here the reference's value takes the place of
the argument that stops forward, so that everything wrong with a batch is seen in one run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from preflight_ocr.harness.facts import Raised, Repair
from preflight_ocr.harness.families.anatomy import find_embeddings
from preflight_ocr.harness.training.quantising import is_packed, is_packing
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.batches import compare
from preflight_ocr.probes.workbench.calls import Batch, Seen, read_signature, watch

TOKENS = "input_ids"


def repair(
    parts: Assembly, batch: Batch, reference: Batch | None
) -> tuple[dict[str, Any], tuple[Repair, ...], Seen | Raised]:
    """(a batch that the bare model runs, what had to be replaced, how its forward ended).

    Keys that forward does not take are left out; one that is missing is taken from the reference when forward needs it.
    """
    signature = read_signature(parts.bare)
    here = {k: v for k, v in batch.items() if signature.accepts(k)}
    repairs: list[Repair] = []
    seen = watch(parts, here)
    while isinstance(seen, Raised):
        chosen = _choose(parts, here, reference, seen, [r.argument for r in repairs])
        if chosen is None:
            break
        argument, value, after = chosen
        here |= value
        repairs.append(Repair(argument=argument, raised=seen))
        seen = after
    return here, tuple(repairs), seen


def _choose(
    parts: Assembly, here: Batch, reference: Batch | None, raised: Raised, done: Sequence[str]
) -> tuple[str, dict[str, Any], Seen | Raised] | None:
    """The argument whose replacement ends the exception, else one that changes it, else the first suspicious one."""
    if reference is None:
        return None
    roles = dict(parts.family.roles) if parts.family else {}
    suspicious = [d.argument for d in compare(here, reference, roles=roles, accepted=parts.forward_names)]
    # The tokens come last, and all that runs along them together: what they show is lost with them.
    candidates = [a for a in dict.fromkeys([*suspicious, *roles, TOKENS]) if a in reference and a not in done]
    changed = fallback = None
    for argument in candidates:
        value = substitute(parts, argument, here, reference)
        after = watch(parts, {**here, **value})
        if isinstance(after, Seen):
            return argument, value, after
        if changed is None and (after.type, after.message) != (raised.type, raised.message):
            changed = (argument, value, after)
        if fallback is None and argument in suspicious:
            fallback = (argument, value, after)
    return changed or fallback


def substitute(parts: Assembly, argument: str, batch: Batch, reference: Batch) -> dict[str, Any]:
    """The reference's value by name; for a placement mask, the mask that belongs to the batch's own tokens; for the
    tokens, everything of the reference that runs along them."""
    if argument == TOKENS:
        shape = reference[TOKENS].shape
        return {name: value for name, value in reference.items() if getattr(value, "shape", None) == shape}
    is_mask = parts.family is not None and parts.family.roles.get(argument) == "placement_mask"
    ids = batch.get("input_ids")
    if is_mask and isinstance(ids, torch.Tensor):
        return {argument: ids == parts.image_token_id}
    return {argument: reference[argument]}


def make_runnable(parts: Assembly, batch: Mapping[str, Any]) -> bool:
    """After forward raised on a good batch: ids brought below the embeddings' rows, else packing layers whose weight is
    not packed made plain ones, else the weights brought into one dtype.

    One cure a call, so that each has its own exception. True where anything was changed and another try makes sense;
    what was raised before is reported all the same.
    """
    rows = int(find_embeddings(parts.bare).weight.shape[0])
    ids = [batch.get(name) for name in ("input_ids", "labels")]  # labels are what a decoder of its own is fed with
    if parts.ids_below is None and any(isinstance(i, torch.Tensor) and bool((i >= rows).any()) for i in ids):
        parts.ids_below = rows
        return True
    return _make_plain(parts.bare) or _unify_dtypes(parts.bare, parts.image_dtype)


def _make_plain(model: nn.Module) -> bool:
    """Linear layers in the place of 4-bit ones that hold an ordinary weight, a tied one. Whether there was any."""
    changed = False
    for parent in list(model.modules()):
        for name, module in list(parent.named_children()):
            if is_packing(module) and not is_packed(module.weight):
                plain = nn.Linear(1, 1, bias=False, device="meta")
                plain.in_features, plain.out_features = int(module.in_features), int(module.out_features)  # type: ignore[arg-type]
                plain.weight, plain.bias = module.weight, module.bias  # type: ignore[assignment]
                setattr(parent, name, plain)
                changed = True
    return changed


def _unify_dtypes(model: nn.Module, dtype: torch.dtype) -> bool:
    """Cast every weight of the model itself to `dtype`; adapters keep theirs. Whether anything was cast."""
    others = [
        p for name, p in model.named_parameters() if p.is_floating_point() and p.dtype != dtype and "lora_" not in name
    ]
    for parameter in others:
        parameter.data = parameter.data.to(dtype)
    return any(parameter.dtype == dtype for parameter in others)
