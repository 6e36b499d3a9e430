from __future__ import annotations

import pytest
from torch import nn

from preflight_ocr.harness.families.anatomy import read_anatomy, unwrap
from tests.support.toys import Toy


def test_embedding_head_and_blocks_are_found_under_any_name():
    anatomy = read_anatomy(Toy())
    assert (anatomy.embedding, anatomy.head, anatomy.layers) == ("words", "head", "blocks")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("words", "embedding"),
        ("head.weight", "head"),
        ("blocks.0.self_attn", "attention"),
        ("blocks.1.mlp.weight", "mlp"),
        ("norm.weight", "other"),
        ("vision", "vision"),
    ],
)
def test_every_module_of_a_toy_belongs_to_its_part(name, part):
    assert read_anatomy(Toy()).part_of(name) == part


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("model.layers.1.mlp.experts.2.up_proj", "experts"),
        ("model.layers.1.mlp.shared_experts.up_proj", "mlp"),
        ("model.layers.0.self_attn.q_proj", "attention"),
        ("model.layers.0.input_layernorm", "other"),
        ("model.norm", "other"),
        ("model.projector.layers", "projector"),
        ("model.sam_model.blocks.0.attn.qkv", "vision"),
        ("model.vision_model.embeddings", "vision"),
        ("lm_head", "head"),
    ],
)
def test_every_module_of_the_miniature_belongs_to_its_part(healthy, name, part):
    assert healthy.anatomy.part_of(name) == part


def test_the_blocks_are_those_beside_the_embeddings_and_not_the_longer_list_of_the_vision_tower():
    model = Toy()
    model.tower = nn.Module()
    model.tower.layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(9)])
    assert read_anatomy(model).layers == "blocks"


def test_a_model_without_blocks_has_none():
    model = Toy()
    del model.blocks
    assert read_anatomy(model).layers is None


def test_the_hugging_face_model_is_found_inside_a_wrapper(healthy):
    wrapper = nn.Sequential(nn.Identity(), healthy.bare)
    assert unwrap(wrapper) == (healthy.bare, "1")
    assert unwrap(healthy.bare) == (healthy.bare, "")


def test_a_model_that_is_nobodys_is_its_own_inside():
    model = Toy()
    assert unwrap(model) == (model, "")
