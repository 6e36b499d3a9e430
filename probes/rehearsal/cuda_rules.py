"""What torch does otherwise on an accelerator than here, where it changes what is held in memory.

Kernels of attention keep other things for backward, dropout keeps a mask of bytes, and autocast has another list of what
runs in float32. The step is followed on the CPU, so these three are put in its place, from torch's own CUDA sources
(aten/src/ATen/autocast_mode.h, native/transformers/attention.cpp, native/Dropout.cpp).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from preflight_ocr.probes.rehearsal.weightless import Weightless

LOWER = frozenset(
    [
        "linear",
        "matmul",
        "__matmul__",
        "__rmatmul__",
        "mm",
        "mv",
        "bmm",
        "baddbmm",
        "addmm",
        "addmv",
        "addbmm",
        "addr",
        "chain_matmul",
        "multi_dot",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_tbc",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "convolution",
        "prelu",
        "einsum",
        "lstm_cell",
        "gru_cell",
        "rnn_tanh_cell",
        "rnn_relu_cell",
        "scaled_dot_product_attention",
        "multi_head_attention_forward",
    ]
)
"""Run in autocast's dtype."""
FULL = frozenset(
    [
        "acos",
        "asin",
        "cosh",
        "erfinv",
        "exp",
        "expm1",
        "log",
        "log10",
        "log2",
        "log1p",
        "reciprocal",
        "rsqrt",
        "sinh",
        "tan",
        "pow",
        "__pow__",
        "__rpow__",
        "softplus",
        "layer_norm",
        "rms_norm",
        "group_norm",
        "norm",
        "nuclear_norm",
        "cosine_similarity",
        "poisson_nll_loss",
        "cosine_embedding_loss",
        "nll_loss",
        "cross_entropy",
        "hinge_embedding_loss",
        "kl_div",
        "l1_loss",
        "smooth_l1_loss",
        "huber_loss",
        "mse_loss",
        "margin_ranking_loss",
        "multilabel_margin_loss",
        "soft_margin_loss",
        "triplet_margin_loss",
        "multi_margin_loss",
        "binary_cross_entropy_with_logits",
        "dist",
        "pdist",
        "cdist",
        "renorm",
        "logsumexp",
    ]
)
"""Run in float32 on a float32 copy."""
WIDENED = frozenset(["softmax", "log_softmax", "cumsum", "cumprod", "prod", "sum"])
"""Given dtype=float32 where the caller names none."""

_FLASH_HEAD = 256  # the widest head that flash attention takes


class CudaRules(TorchFunctionMode):
    """Inside the block, weightless tensors are treated as on a card. Autocast is the CPU's, with the card's lists."""

    def __init__(self) -> None:
        super().__init__()
        self._casts: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs) if kwargs else {}
        name = getattr(func, "__name__", "")
        if name == "__get__":
            return func(*args)
        if not torch.is_autocast_enabled("cpu"):
            return _run(func, args, named)
        args, named = self._cast(name, args, named)
        torch.set_autocast_enabled("cpu", False)
        try:
            return _run(func, args, named)
        finally:
            torch.set_autocast_enabled("cpu", True)

    def forget_casts(self) -> None:
        """Autocast has ended, and with it the copies of trained weights that it keeps."""
        self._casts.clear()

    def _cast(self, name: str, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if name in LOWER:
            dtype = torch.get_autocast_dtype("cpu")
        elif name in FULL:
            dtype = torch.float32
        elif name in WIDENED:
            half = bool(args) and isinstance(args[0], torch.Tensor) and args[0].dtype in (torch.float16, torch.bfloat16)
            return args, {**named, "dtype": torch.float32} if half and named.get("dtype") is None else named
        else:
            return args, named

        def change(value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                return self._cast_one(value, dtype)
            if isinstance(value, list | tuple) and any(isinstance(v, torch.Tensor) for v in value):
                return type(value)([change(v) for v in value])
            return value

        return tuple(change(value) for value in args), {key: change(value) for key, value in named.items()}

    def _cast_one(self, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        if not tensor.is_floating_point() or tensor.dtype in (dtype, torch.float64):
            return tensor
        trained = tensor.is_leaf and tensor.requires_grad and tensor.dtype == torch.float32
        if not trained or dtype == torch.float32 or not torch.is_autocast_cache_enabled():
            return tensor.to(dtype)
        if id(tensor) not in self._casts:
            self._casts[id(tensor)] = (tensor, tensor.to(dtype))
        return self._casts[id(tensor)][1]


@contextmanager
def on_card() -> Iterator[CudaRules]:
    """The block as it would run on a card. Where torch forgets its copies of cast weights, ours are forgotten too."""
    card, forget = CudaRules(), torch.clear_autocast_cache

    def forget_both() -> None:
        card.forget_casts()
        forget()

    torch.clear_autocast_cache = forget_both
    try:
        with card:
            yield card
    finally:
        torch.clear_autocast_cache = forget


def _run(func: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    if func is F.scaled_dot_product_attention and any(isinstance(a, Weightless) for a in args[:3]):
        return attend(*args, **named)
    if func is F.dropout and isinstance(args[0], Weightless):
        return drop(*args, **named)
    return func(*args, **named)


def drop(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    """Dropout as a card does it: a mask of one byte for each element is kept, not a factor."""
    if not training or not 0 < p < 1 or inplace:
        return F.dropout(input, p, training, inplace)
    dropped: torch.Tensor = torch.native_dropout(input, p, True)[0]
    return dropped


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Attention [B, H, S, D] by the kernel that a card would choose: flash in half precision without a mask, else the
    memory-efficient one. Neither keeps a score for every pair of tokens."""
    width = query.shape[-1]
    scale = width**-0.5 if scale is None else scale
    query, key, value = (_pad_to_eight(states) for states in (query, key, value))
    if attn_mask is None and query.dtype in (torch.float16, torch.bfloat16) and width <= _FLASH_HEAD:
        flash = torch.ops.aten._scaled_dot_product_flash_attention
        return _trim(flash(query, key, value, dropout_p, is_causal, False, scale=scale)[0], width)
    groups = query.shape[-3] // key.shape[-3]
    if enable_gqa and groups > 1:
        key, value = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3)
    bias = None if attn_mask is None else _make_bias(attn_mask, query, key)
    needs = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))
    efficient = torch.ops.aten._scaled_dot_product_efficient_attention
    return _trim(efficient(query, key, value, bias, needs, dropout_p, is_causal, scale=scale)[0], width)


def _pad_to_eight(states: torch.Tensor) -> torch.Tensor:
    rest = -states.shape[-1] % 8
    return F.pad(states, (0, rest)) if rest else states


def _trim(states: torch.Tensor, width: int) -> torch.Tensor:
    return states if states.shape[-1] == width else states[..., :width]


def _make_bias(mask: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """A mask of booleans becomes one of the queries' dtype; the kernel reads it in steps of 16 keys."""
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(mask.logical_not(), float("-inf"))
    elif mask.dtype != query.dtype:
        mask = mask.to(query.dtype)
    length = mask.shape[-1]
    if length % 16:
        mask = F.pad(mask, (0, 16 - length % 16))[..., :length]
    return mask.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
