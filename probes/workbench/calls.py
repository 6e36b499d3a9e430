"""Calling forward once, and keeping what it showed."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec
import torch
from torch import nn

from preflight_ocr.harness.facts import Parameter, Raised, Signature
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.landing import Trace, trace_landing
from preflight_ocr.probes.workbench.tracing import attempt

Batch = Mapping[str, Any]


class Seen(msgspec.Struct, frozen=True):
    """One forward of the bare model that ended well: its output and where features landed."""

    output: Any
    trace: Trace

    @property
    def logits(self) -> torch.Tensor | None:
        """[B, S, V], or None where the output has none."""
        return read_logits(self.output)


def call(model: nn.Module, batch: Batch) -> Any:
    """Forward without gradients."""
    with torch.no_grad():
        return model(**batch)


def watch(parts: Assembly, batch: Batch) -> Seen | Raised:
    """Forward of the bare model with the landing traced, or what it raised."""

    def run() -> Seen:
        with trace_landing(parts.bare, parts.anatomy) as trace:
            return Seen(call(parts.bare, batch), trace)

    return attempt(run)


def read_logits(output: Any) -> torch.Tensor | None:
    """The logits [B, S, V] of any output a model returns: attribute, key, or the first 3-D tensor of a tuple."""
    found = getattr(output, "logits", None)
    if found is None and isinstance(output, Mapping):
        found = output.get("logits")
    if found is None and isinstance(output, tuple):
        found = next((t for t in output if isinstance(t, torch.Tensor) and t.dim() == 3), None)
    return found if isinstance(found, torch.Tensor) else None


def read_loss(output: Any) -> Any:
    """The loss of any output a model returns: key, attribute, or a tuple's first item if it is a number; None without."""
    if isinstance(output, Mapping):
        return output.get("loss")
    first = output[0] if isinstance(output, tuple) and output else None
    return getattr(output, "loss", first if isinstance(first, torch.Tensor) and first.dim() == 0 else None)


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
