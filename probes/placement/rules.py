"""Which operations take tensors on different devices, as torch does on a card; what is not known here is not guessed.

Three things decide. Most kernels check that all their tensors are on one device (`device_check` in torch's
native_functions.yaml, which tests/probes/placement/test_rules.py reads again). Element by element, a number on the CPU
(no dimensions, not written to) may stand beside tensors on a card. And a few arguments may lie anywhere: what is copied
from, and indices on the CPU into a tensor on a card.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

CPU = "cpu"
CARD = "cuda:0"
ANYWHERE = "?"  # made where the simulation does not see; says nothing

# Every tensor on one device, whatever its dimensions.
STRICT = frozenset({
    "mm", "bmm", "addmm", "addmm_", "addmv", "addmv_", "mv", "baddbmm", "baddbmm_", "addbmm", "addbmm_", "dot", "vdot",
    "addr", "addr_", "linear", "_addmm_activation", "_grouped_mm", "_scaled_mm", "_scaled_grouped_mm", "_int_mm",
    "convolution", "_convolution", "_slow_conv2d_forward", "cat", "stack", "_stack", "embedding", "embedding_renorm_",
    "_embedding_bag", "_embedding_bag_forward_only", "gather", "scatter", "scatter_", "scatter_add", "scatter_add_",
    "scatter_reduce", "scatter_reduce_", "index_select", "index_add", "index_add_", "index_copy", "index_copy_",
    "index_reduce", "index_reduce_", "masked_scatter", "masked_scatter_", "masked_select", "take", "put", "put_",
    "native_layer_norm", "native_group_norm", "native_batch_norm", "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training", "_batch_norm_with_update", "_batch_norm_no_update", "_fused_rms_norm",
    "nll_loss_forward", "nll_loss2d_forward", "huber_loss", "grid_sampler_2d", "grid_sampler_3d",
    "_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable", "_transformer_encoder_layer_fwd",
    "_native_multi_head_attention", "_cdist_forward", "_euclidean_dist", "_weight_norm_interface", "_prelu_kernel",
    "equal", "complex", "polar", "max_unpool2d", "max_unpool3d", "bincount", "linalg_cross", "linalg_solve_triangular",
    "_linalg_solve_ex", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell", "_trilinear", "rrelu_with_noise", "block_diag",
})  # fmt: skip
# Element by element, though not all of them are tagged so in every release.
POINTWISE = frozenset({
    "where", "lerp", "lerp_", "addcmul", "addcmul_", "addcdiv", "addcdiv_", "masked_fill", "masked_fill_", "clamp",
    "clamp_", "clamp_min", "clamp_max", "fill_", "rsub", "floor_divide", "floor_divide_", "mse_loss", "l1_loss",
    "smooth_l1_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "isin", "dist", "_add_relu",
    "bucketize", "searchsorted",
})  # fmt: skip
# Only look at sizes or dtypes, or at how the rest would be done.
LOOKING = frozenset(["_fused_sdp_choice", "is_same_size", "_has_same_storage_numel", "is_set_to"])
# Arguments that may be on the CPU whatever the rest is on, and on a card as well where the operation is in COPYING.
FREE = {
    "copy_": {"src"},
    "copy": {"src"},
    "_foreach_copy_": {"src"},
    "slice_scatter": {"src"},
    "select_scatter": {"src"},
    "index": {"indices"},
    "index_put": {"indices"},
    "index_put_": {"indices"},
    "_index_put_impl_": {"indices"},
    "_unsafe_index_put": {"indices"},
}
COPYING = frozenset(["copy_", "copy", "_foreach_copy_", "slice_scatter", "select_scatter"])
INDEXING = frozenset(["index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index_put"])


class Argument(msgspec.Struct, frozen=True):
    """A tensor that an operation is called with: the parameter's name in the operation, where it is, its dimensions."""

    name: str
    device: str
    dimensions: int
    is_written: bool = False


Verdict = Literal["fine", "mixed", "unknown"]


def judge(operation: str, arguments: Sequence[Argument], *, is_pointwise: bool) -> tuple[Verdict, tuple[int, ...]]:
    """Whether torch would take these arguments, and the numbers of those that are not where the others are.

    `operation` is the name without namespace and overload. An argument ANYWHERE never stands in the way. Of two devices
    the CPU is the wrong one, of two cards the one that comes second.
    """
    counted = [(n, a) for n, a in enumerate(arguments) if a.device != ANYWHERE]
    if len({a.device for _, a in counted}) < 2 or operation in LOOKING or operation in COPYING:
        return "fine", ()
    free = FREE.get(operation, set())
    counted = [(n, a) for n, a in counted if not (a.name in free and a.device == CPU)]
    is_pointwise = is_pointwise or operation in POINTWISE
    if (is_pointwise or operation in INDEXING) and operation not in STRICT:
        counted = [(n, a) for n, a in counted if not _is_number(operation, a)]
    places = list(dict.fromkeys(a.device for _, a in counted))
    if len(places) < 2:
        return "fine", ()
    if not (is_pointwise or operation in STRICT or operation in INDEXING):
        return "unknown", ()
    wrong = CPU if CPU in places else places[1]
    return "mixed", tuple(n for n, a in counted if a.device == wrong)


def _is_number(operation: str, argument: Argument) -> bool:
    """A CPU tensor that a kernel on a card reads as a number. A mask to fill under never is one."""
    is_mask = operation.startswith("masked_fill") and argument.name == "mask"
    return argument.device == CPU and not argument.dimensions and not argument.is_written and not is_mask
