from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from preflight_ocr.probes.rehearsal.cuda_rules import FULL, LOWER, WIDENED, on_card
from preflight_ocr.probes.rehearsal.lifetimes import Lifetimes
from preflight_ocr.probes.rehearsal.weightless import Weightless

# Names of Python that torch registers under another one, or that call one that is registered.
ALIASES = {
    "__matmul__": "matmul", "__rmatmul__": "matmul", "__pow__": "pow.Tensor_Scalar", "pow": "pow.Tensor_Scalar",
    "__rpow__": "pow.Tensor_Scalar", "multi_dot": "linalg_multi_dot", "conv_transpose2d": "conv_transpose2d.input",
    "conv_transpose3d": "conv_transpose3d.input", "norm": "norm.Scalar", "softmax": "softmax.int",
    "log_softmax": "log_softmax.int", "cross_entropy": "nll_loss",
    "multi_head_attention_forward": "linear", "rnn_tanh_cell": "rnn_tanh_cell",
}  # fmt: skip


def weightless(*shape, dtype=torch.float32, requires_grad=False):
    return Weightless(torch.empty(*shape, dtype=dtype, device="meta")).requires_grad_(requires_grad)


@pytest.mark.parametrize("name", sorted(LOWER | FULL | WIDENED))
def test_torch_has_a_rule_of_autocast_on_cuda_for_every_listed_name(name):
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{ALIASES.get(name, name)}", "AutocastCUDA")


def test_under_autocast_products_are_half_and_softmax_is_float32():
    x, w = weightless(4, 8), weightless(8, 8)
    with on_card(), torch.autocast("cpu", dtype=torch.bfloat16):
        product = F.linear(x, w)
        assert product.dtype == torch.bfloat16
        assert F.softmax(product, -1).dtype == torch.float32
        assert F.layer_norm(product, (8,)).dtype == torch.float32
        with torch.autocast("cpu", enabled=False):
            assert F.linear(x, w).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert F.softmax(F.linear(x, w), -1).dtype == torch.bfloat16  # the CPU's own list


def test_a_trained_weight_is_cast_once_and_a_frozen_one_at_every_use():
    def count(trained):
        w = weightless(64, 64, requires_grad=trained)
        x = weightless(4, 64, dtype=torch.bfloat16, requires_grad=True)
        with Lifetimes() as lifetimes, on_card(), torch.autocast("cpu", dtype=torch.bfloat16):
            a, b = F.linear(x, w), F.linear(x, w)
        assert a.shape == b.shape
        return sum(size == 64 * 64 * 2 for _, size in lifetimes.events)

    assert (count(True), count(False)) == (1, 2)


def test_attention_of_a_card_keeps_no_score_for_every_pair():
    def held(card, dtype, mask=None):
        states = [weightless(1, 4, 512, 64, dtype=dtype, requires_grad=True) for _ in range(3)]
        lifetimes = Lifetimes()
        lifetimes.own(states, "batch")
        with lifetimes:
            if card:
                with on_card():
                    out = F.scaled_dot_product_attention(*states, attn_mask=mask)
            else:
                weights = (states[0] @ states[1].transpose(-1, -2)).softmax(-1)
                out = weights @ states[2]
        assert out.shape == (1, 4, 512, 64)
        return lifetimes.now - lifetimes.held["batch"]

    scores = 4 * 512 * 512 * 2
    out = 4 * 512 * 64 * 2
    assert held(False, torch.bfloat16) >= scores
    assert held(True, torch.bfloat16) <= out + 4 * 512 * 4 + 64  # its result, and one float32 a row of scores
    mask = torch.ones(1, 1, 512, 512, dtype=torch.bool)
    assert held(True, torch.bfloat16, mask) < scores  # one bias for all heads


def test_dropout_of_a_card_keeps_a_byte_for_each_element():
    x = weightless(1000, requires_grad=True)
    with Lifetimes() as lifetimes, on_card():
        y = F.dropout(x, 0.1)
    assert sorted(size for _, size in lifetimes.events if size) == [1000, 4000]
    assert F.dropout(x, 0.0).shape == y.shape


def test_what_backward_computes_again_follows_the_same_rules():
    from torch.utils.checkpoint import checkpoint

    from preflight_ocr.probes.rehearsal.step import _run_backward

    x = weightless(2, 4, 16, 8, requires_grad=True)

    def attend(states):
        return F.scaled_dot_product_attention(states, states, states)

    with on_card():
        _run_backward(checkpoint(attend, x, use_reentrant=False).sum())
    assert x.grad.shape == x.shape
