from __future__ import annotations

import msgspec
import pytest
import torch
from torch import nn

from preflight_ocr.probes.workbench import model as probe
from preflight_ocr.probes.workbench.model import KEPT_BLOCKS, build, build_small


def cut(model):
    return model, list(probe._cut(model))


class Stack(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.blocks = blocks


def test_a_long_list_of_like_blocks_is_cut():
    model, said = cut(Stack(nn.ModuleList([nn.Linear(4, 4) for _ in range(12)])))
    assert (len(model.blocks), said) == (KEPT_BLOCKS, ["blocks: 12 -> 2"])


def test_one_block_of_each_kind_is_kept_in_order():
    kinds = [nn.Linear(4, 4), *(nn.Linear(4, 8) for _ in range(9))]
    model, _ = cut(Stack(nn.ModuleList(kinds)))
    assert [block.out_features for block in model.blocks][:2] == [4, 8]
    assert len(model.blocks) < 5


def test_a_projector_is_no_stack():
    layers = [nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4)]
    model, said = cut(Stack(nn.Sequential(*layers)))
    assert (len(model.blocks), said) == (3, [])


def test_experts_that_a_router_counts_are_all_kept():
    model = Stack(nn.ModuleList([nn.Linear(4, 4) for _ in range(12)]))
    model.router = nn.Linear(4, 12)
    assert cut(model)[1] == []


def test_norms_stay_ones_biases_zeros_and_matrices_keep_the_size_of_what_goes_through():
    with torch.device("meta"):
        model = nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 64))
    probe._materialise(model, torch.float32)
    assert bool((model[0].weight == 1).all())
    assert not model[1].bias.any()
    out = model[1](torch.randn(100, 64, generator=torch.Generator().manual_seed(0)))
    assert 0.7 < float(out.detach().std()) < 1.4
    assert not torch.equal(model[1].weight[0], model[1].weight[1])


def test_weights_are_drawn_in_the_asked_dtype_and_the_same_each_time():
    drawn = []
    for _ in range(2):
        with torch.device("meta"):
            model = nn.Linear(8, 8)
        probe._materialise(model, torch.bfloat16)
        drawn.append(model.weight)
    assert drawn[0].dtype == torch.bfloat16
    assert torch.equal(*drawn)


def test_small_weights_are_loaded_as_they_are(healthy):
    built = build(healthy.config)
    assert (built.weights, built.cut, built.model.training) == ("real", (), False)


def test_a_model_that_is_too_large_is_built_small_and_runs(healthy, monkeypatch):
    monkeypatch.setattr(probe, "FULL_LOAD_BYTES", 1)
    built = build(healthy.config)
    assert built.weights == "random"
    assert not any(p.is_meta for p in built.model.parameters())
    with torch.no_grad():
        logits = built.model(input_ids=torch.tensor([[0, 5, 6]]), images=[(torch.zeros(1, 3, 8, 8),) * 2]).logits
    assert bool(logits.isfinite().all())
    assert logits.shape[-1] == healthy.bare.config.vocab_size


@pytest.mark.parametrize("asked", ["bfloat16", "float16"])
def test_a_small_model_has_the_dtype_that_the_yaml_asks_for(healthy, asked):
    config = msgspec.structs.replace(
        healthy.config, model=msgspec.structs.replace(healthy.config.model, torch_dtype=asked)
    )
    dtypes = {str(p.dtype) for p in build_small(config).model.parameters() if p.is_floating_point()}
    assert dtypes == {f"torch.{asked}"}
