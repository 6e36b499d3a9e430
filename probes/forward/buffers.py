"""Buffers that are in no checkpoint: what loading left in them, held against what the class computes when it is built.

A loader that builds a model without memory has to give such a buffer some, and what stands in it is whatever stood there
before. The class is built again from the same configuration, weights without memory and buffers real, and compared.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from preflight_ocr.harness.config import compat
from preflight_ocr.harness.facts import LostBuffer, Raised, Unknown
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.tracing import attempt

SHOWN = 4
LIMIT = 1e30  # beyond it a value is "as large as can be": a mask's lowest number differs from dtype to dtype
COARSE, FINE = 0.05, 1e-3  # relative; what was computed in half precision is off by a few times its rounding
NOT_LOADED = "the model was built from its configuration by Preflight, and could not be loaded as its weights would be"


def find_lost_buffers(parts: Assembly) -> tuple[LostBuffer, ...] | Unknown:
    """The floating-point buffers outside the state dict that are not what the class computes. Call before any forward.

    A model too large to be loaded was built from its configuration. Loading is what loses buffers, so that what was built
    is loaded once, from its own state dict.
    """
    model, by_us = parts.bare, parts.config.subject.model is None or parts.loading is not None
    if by_us and parts.built.weights != "real":
        model = attempt(lambda: load_again(parts.bare))
    if isinstance(model, Raised):
        return Unknown(reason=f"{NOT_LOADED}: {model.type}: {model.message}")
    return compare_with_fresh(model)


def load_again(model: nn.Module) -> Any:
    """The model as the installed transformers loads it when its state dict comes from a checkpoint."""
    load: Any = type(model).from_pretrained  # type: ignore[attr-defined]
    dtype = {compat.dtype_keyword(): find_dtype(model)}
    return load(None, config=copy.deepcopy(model.config), state_dict=model.state_dict(), **dtype)


def find_dtype(model: nn.Module) -> torch.dtype:
    """The dtype of the first weight that has one with a floating point."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def compare_with_fresh(model: nn.Module) -> tuple[LostBuffer, ...] | Unknown:
    """Each lost buffer of a model that was just loaded; Unknown where its class cannot be built a second time.

    Two fresh builds, one in float32 and one in the dtype of the weights, say what the class computes; a buffer in which
    these two differ beyond rounding (random, or made from weights) says nothing and is left out.
    """
    loaded = list_unsaved(model)
    if not loaded:
        return ()
    dtype = find_dtype(model)
    fresh = attempt(lambda: (_build(model, torch.float32, seed=0), _build(model, dtype, seed=1)))
    if isinstance(fresh, Raised):
        return Unknown(reason=f"{type(model).__name__} could not be built again: {fresh.type}: {fresh.message}")
    is_coarse = dtype.itemsize < torch.float32.itemsize
    return tuple(_compare(loaded, *fresh, is_coarse=is_coarse))


def list_unsaved(model: nn.Module) -> dict[str, torch.Tensor]:
    """The buffers with real or complex numbers that `save_pretrained` does not write, by name."""
    saved = model.state_dict().keys()
    return {
        name: buffer
        for name, buffer in model.named_buffers()
        if name not in saved and (buffer.is_floating_point() or buffer.is_complex())
    }


def _build(model: nn.Module, dtype: torch.dtype, *, seed: int) -> dict[str, torch.Tensor]:
    from accelerate import init_empty_weights

    build: Any = type(model)
    with _default_dtype(dtype), torch.random.fork_rng(devices=[]), init_empty_weights(include_buffers=False):
        torch.manual_seed(seed)
        return list_unsaved(build(copy.deepcopy(model.config)))


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _compare(
    loaded: Mapping[str, torch.Tensor],
    first: Mapping[str, torch.Tensor],
    second: Mapping[str, torch.Tensor],
    *,
    is_coarse: bool,
) -> Iterator[LostBuffer]:
    for name, buffer in loaded.items():
        if name not in first or name not in second or any(b.is_meta for b in (buffer, first[name], second[name])):
            continue
        seen, expected, again = (_widen(b) for b in (buffer, first[name], second[name]))
        if not seen.shape == expected.shape == again.shape:
            continue
        tolerance = COARSE if is_coarse or buffer.dtype.itemsize < torch.float32.itemsize else FINE
        if not _is_close(expected, again, tolerance):
            continue
        if not (_is_close(seen, expected, tolerance) or _is_close(seen, again, tolerance)):
            yield LostBuffer(
                name=name,
                shape=tuple(buffer.shape),
                dtype=str(buffer.dtype).removeprefix("torch."),
                seen=_show(seen),
                expected=_show(expected),
            )


def _widen(buffer: torch.Tensor) -> torch.Tensor:
    """On the CPU, in float64, complex numbers as pairs."""
    here = buffer.detach().cpu()
    return (torch.view_as_real(here) if here.is_complex() else here).double()


def _is_close(left: torch.Tensor, right: torch.Tensor, tolerance: float) -> bool:
    """Whether no element differs by more than the tolerance, relative to itself; a NaN equals only a NaN."""
    left, right = left.clamp(-LIMIT, LIMIT), right.clamp(-LIMIT, LIMIT)
    ordinary = right[right.abs() < LIMIT]
    scale = float(ordinary.abs().max()) if ordinary.numel() else 0.0
    return bool(torch.isclose(left, right, rtol=tolerance, atol=tolerance * 1e-3 * scale, equal_nan=True).all())


def _show(buffer: torch.Tensor) -> str:
    values = buffer.flatten()[:SHOWN].tolist()
    return ", ".join(f"{value:.3g}" for value in values) + (", ..." if buffer.numel() > SHOWN else "")
