from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from preflight_ocr.harness.training.quantising import measure_packed
from preflight_ocr.probes.rehearsal.lifetimes import Lifetimes
from preflight_ocr.probes.rehearsal.weightless import NoNumbers, Weightless, execute, without_weights


def weightless(*shape, dtype=torch.float32):
    return Weightless(torch.empty(*shape, dtype=dtype, device="meta"))


def test_results_have_the_shapes_and_dtypes_of_real_ones():
    x, w = torch.randn(3, 8), torch.randn(8, 5)
    real = F.softmax((x @ w).bfloat16(), dim=-1)
    empty = F.softmax((x @ weightless(8, 5)).bfloat16(), dim=-1)
    assert (empty.shape, empty.dtype, empty.stride()) == (real.shape, real.dtype, real.stride())
    assert isinstance(empty, Weightless) and empty.device.type == "cpu"


def test_gradients_arrive_at_weightless_parameters():
    layer = nn.Linear(4, 2)
    with without_weights(layer):
        layer(torch.randn(3, 4)).sum().backward()
        assert layer.weight.grad.shape == (2, 4)


def test_the_model_has_its_own_weights_again_after_the_block_even_if_it_raises():
    layer = nn.Linear(4, 2)
    before = layer.weight
    with pytest.raises(RuntimeError), without_weights(layer):
        layer(torch.randn(3, 5))
    assert layer.weight is before and not isinstance(layer.weight, Weightless)


def test_a_tied_weight_stays_one_weight():
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    model[1].weight = model[0].weight
    with without_weights(model):
        assert model[0].weight is model[1].weight


def test_ids_and_masks_stay_real_so_that_a_mask_places_what_it_will_place():
    mask = torch.tensor([True, False, True])
    features = weightless(3, 4)[mask]
    assert features.shape == (2, 4)
    assert weightless(3, 4).masked_select(mask[:, None]).shape == (8,)


def test_a_router_sends_every_expert_as_many_tokens():
    chosen = weightless(8, 4).topk(2, dim=-1).indices
    assert chosen.flatten().bincount().tolist() == [4, 4, 4, 4]
    assert all(len(set(row)) == 2 for row in chosen.tolist())


def test_an_answer_that_only_the_weights_could_give_is_no_and_is_noted():
    with Lifetimes() as lifetimes:
        assert not torch.isinf(weightless(3)).any()
        assert float(weightless(3).sum()) == 1.0
    assert any("answer as no" in note for note in lifetimes.assumed)


@pytest.mark.parametrize("ask", [lambda t: (t > 0).nonzero(), lambda t: t[t > 0], lambda t: int((t > 0).sum())])
def test_where_a_shape_depends_on_the_weights_nothing_is_guessed(ask):
    with pytest.raises(NoNumbers):
        ask(weightless(5))


def test_writing_into_a_weightless_tensor_gives_that_tensor():
    x = weightless(2, 2)
    assert x.add_(1) is x
    assert execute(torch.ops.aten.copy_.default, (x, torch.ones(2, 2)), {}, set()) is x


def test_a_view_shares_what_it_looks_at_and_a_copy_does_not():
    x = weightless(4, 4)
    assert x.view(16).weightless.untyped_storage()._cdata == x.weightless.untyped_storage()._cdata
    for _ in range(2):  # the second answer comes from what is known of the first
        view = torch.ops.aten._unsafe_view(x, [16])
        assert view.weightless.untyped_storage()._cdata == x.weightless.untyped_storage()._cdata
        assert x.clone().weightless.untyped_storage()._cdata != x.weightless.untyped_storage()._cdata


def test_a_mask_of_every_pair_of_patches_is_never_made():
    with Lifetimes() as lifetimes:
        places = torch.arange(20_000)
        pairs = places[:, None] == places[None, :]
    assert isinstance(pairs, Weightless) and lifetimes.peak >= 20_000**2


def test_experts_in_one_product_may_be_float32_as_on_a_cpu():
    if not hasattr(torch, "_grouped_mm"):
        pytest.skip("this torch has no _grouped_mm")
    out = torch._grouped_mm(weightless(8, 16), weightless(2, 16, 24), offs=torch.tensor([4, 8], dtype=torch.int32))
    assert (out.shape, out.dtype) == ((8, 24), torch.float32)


def test_a_packed_layer_holds_its_packed_bytes_and_hands_gradients_on():
    bnb = pytest.importorskip("bitsandbytes")
    layer = bnb.nn.Linear4bit(64, 32, compute_dtype=torch.bfloat16)
    before, size = layer.weight, measure_packed(layer).bytes
    x = torch.randn(3, 64, requires_grad=True)
    with without_weights(layer):
        result = layer(x)
        assert (layer.weight.shape, layer.weight.dtype) == ((size,), torch.uint8)
        assert (result.shape, result.dtype) == ((3, 32), torch.float32)
        result.sum().backward()
    assert x.grad.shape == x.shape
    assert layer.weight is before and "forward" not in vars(layer)
