"""Half-precision products on a processor that has no instructions for them.

There torch multiplies bfloat16 and float16 number by number: a step with an A4 page took 2.6 s of a laptop's processor where
float32 took 0.4 s. Here the products are taken in float32 and rounded once, which is what the instructions do as well. The
tensors that a model sees keep their dtype.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from preflight_ocr.harness.config.schema import TrainingSection

HALF = (torch.bfloat16, torch.float16)
PRODUCTS = ("mm", "bmm", "addmm", "baddbmm")
ATTENTION = "scaled_dot_product_attention"


@contextmanager
def speed_up_half(model: nn.Module, training: TrainingSection) -> Iterator[None]:
    """In the block, where the weights or the run's autocast need it, this process takes such products in float32."""
    asked = {p.dtype for p in model.parameters()}
    asked |= {torch.bfloat16} if training.bf16 else {torch.float16} if training.fp16 else set()
    slow = frozenset(dtype for dtype in HALF if not _is_native(dtype))
    if not asked & slow:
        yield
        return
    library: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():  # torch says that each takes the place of another, which is meant
            warnings.simplefilter("ignore")
            for name in PRODUCTS:
                library.impl(name, functools.partial(_multiply, getattr(torch, name), slow), "CPU")
            attend = functools.partial(_attend, getattr(torch.ops.aten, ATTENTION).default, slow)
            for key in ("CPU", "AutogradCPU"):
                library.impl(ATTENTION, attend, key)
        yield
    finally:
        library._destroy()


def _is_native(dtype: torch.dtype) -> bool:
    """Whether this processor has instructions for products of `dtype`. True where torch does not say."""
    name = "_is_mkldnn_bf16_supported" if dtype == torch.bfloat16 else "_is_mkldnn_fp16_supported"
    ask: Callable[[], bool] | None = getattr(torch.ops.mkldnn, name, None)
    return ask is None or ask()


def _multiply(product: Any, slow: frozenset[torch.dtype], *given: Any, **named: Any) -> torch.Tensor:
    """A product in the dtype it was asked in. What is written into `out` goes another way in torch than what is returned,
    and is therefore not taken by this again."""
    widened = _widen(given, slow)
    # Of two dtypes, the one that torch would answer in: with another it would complain of `out`.
    out = widened[-1 if "bmm" in product.__name__ else 0].new_empty(0)
    product(*widened, **named, out=out)
    rounded: torch.Tensor = out.to(given[0].dtype)
    return rounded


def _attend(attention: Any, slow: frozenset[torch.dtype], *given: Any, **named: Any) -> torch.Tensor:
    """Attention in the dtype it was asked in."""
    widened = _widen((*given, *named.values()), slow)
    attended: torch.Tensor = attention.decompose(
        *widened[: len(given)], **dict(zip(named, widened[len(given) :], strict=True))
    )
    return attended.to(given[0].dtype)


def _widen(values: tuple[Any, ...], slow: frozenset[torch.dtype]) -> tuple[Any, ...]:
    """The values with their tensors in float32, where all of those hold one slow dtype. Tensors of two dtypes stay as they
    are: torch refuses them, and so it has to."""
    dtypes = {one.dtype for one in values if isinstance(one, torch.Tensor) and one.is_floating_point()}
    if len(dtypes) != 1 or not dtypes <= slow:
        return values
    return tuple(one.float() if isinstance(one, torch.Tensor) and one.dtype in slow else one for one in values)
