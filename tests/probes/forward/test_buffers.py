"""Buffers that no checkpoint holds: lost ones are found, and nothing else is taken for one."""

from __future__ import annotations

import shutil

import msgspec
import pytest
import torch
import yaml
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from preflight_ocr.fixtures.corpus.buffers import LOSES_BUFFERS
from preflight_ocr.fixtures.corpus.models import find_miniatures, find_model_obstacle, place_model
from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.check.check import check
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.probes.forward.buffers import compare_with_fresh, find_lost_buffers, list_unsaved, load_again
from preflight_ocr.probes.workbench.assembly import Assembly


class Config(PretrainedConfig):
    model_type = "buffers"

    def __init__(self, width=8, **kwargs):
        super().__init__(**kwargs)
        self.width = width


class Model(PreTrainedModel):
    """Every kind of buffer that says nothing, and some that do."""

    config_class = Config

    def __init__(self, config):
        super().__init__(config)
        self.linear = nn.Linear(config.width, config.width)
        places = torch.arange(config.width)
        self.register_buffer("frequencies", 10000.0 ** -(places.float() / config.width), persistent=False)
        self.register_buffer("rounded", 1.0 / (1.0 + places.to(torch.get_default_dtype())), persistent=False)
        angles = torch.arange(8, dtype=torch.float32)
        self.register_buffer("phases", torch.polar(torch.ones_like(angles), angles), persistent=False)
        self.register_buffer("mask", torch.full((4,), torch.finfo(torch.get_default_dtype()).min), persistent=False)
        self.register_buffer("noise", torch.randn(config.width), persistent=False)
        self.register_buffer("scale", self.linear.weight.detach().abs().max(), persistent=False)
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("running_mean", torch.zeros(config.width))
        self.post_init()


@pytest.fixture
def model():
    return Model(Config())


def find(model):
    found = compare_with_fresh(model)
    assert not isinstance(found, Unknown)
    return [lost.name for lost in found]


def test_a_model_as_it_was_built_has_lost_nothing(model):
    assert find(model) == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_buffers_that_were_cast_with_the_model_are_not_lost(model, dtype):
    assert find(model.to(dtype)) == []


def test_a_model_that_was_built_in_half_precision_has_lost_nothing():
    torch.set_default_dtype(torch.bfloat16)
    try:
        model = Model(Config())
    finally:
        torch.set_default_dtype(torch.float32)
    assert find(model) == []


@pytest.mark.parametrize("junk", [0.0, float("nan"), float("inf"), 1e30, 1e-40])
@pytest.mark.parametrize("name", ["frequencies", "phases"])
def test_memory_that_nobody_wrote_is_found_whatever_stands_in_it(model, name, junk):
    getattr(model, name).fill_(junk)
    assert find(model) == [name]


def test_one_element_is_enough(model):
    model.frequencies[5] = 3.0
    [lost] = compare_with_fresh(model)
    assert (lost.name, lost.shape, lost.dtype) == ("frequencies", (8,), "float32")
    assert lost.expected.startswith("1, 0.316, 0.1, 0.0316, ...")


@pytest.mark.parametrize("name", ["noise", "scale", "running_mean"])
def test_what_chance_weights_or_the_checkpoint_decide_says_nothing(model, name):
    getattr(model, name).fill_(123.0)
    assert find(model) == []


def test_only_real_and_complex_numbers_outside_the_checkpoint_are_looked_at(model):
    assert set(list_unsaved(model)) == {"frequencies", "rounded", "phases", "mask", "noise", "scale"}


def test_a_buffer_that_the_class_does_not_have_says_nothing(model):
    model.register_buffer("own", torch.ones(3), persistent=False)
    model.frequencies = torch.ones(16)
    assert find(model) == []


def test_looking_changes_neither_the_default_dtype_nor_the_random_numbers(model):
    before = torch.get_rng_state()
    find(model.half())
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_default_dtype() is torch.float32


def test_a_class_that_cannot_be_built_again_is_unknown():
    class Picky(Model):
        def __init__(self, config, secret=None):
            if secret is None:
                raise ValueError("nothing was said")
            super().__init__(config)

    found = compare_with_fresh(Picky(Config(), secret=1))
    assert isinstance(found, Unknown)
    assert "nothing was said" in found.reason


def test_a_model_that_we_built_ourselves_is_loaded_once_from_its_own_weights(assemble):
    parts = assemble()
    parts.built = msgspec.structs.replace(parts.built, weights="random")
    assert find_lost_buffers(parts) == ()


def test_what_loading_loses_is_seen_in_a_model_too_large_to_be_loaded(assemble, monkeypatch):
    def load_badly(model):
        model.register_buffer("frequencies", torch.full((4,), 3e33), persistent=False)
        return model

    monkeypatch.setattr("preflight_ocr.probes.forward.buffers.load_again", load_badly)
    monkeypatch.setattr(
        "preflight_ocr.probes.forward.buffers._build", lambda model, *given, **named: {"frequencies": torch.ones(4)}
    )
    parts = assemble()
    parts.built = msgspec.structs.replace(parts.built, weights="random")
    [lost] = find_lost_buffers(parts)
    assert (lost.name, lost.expected) == ("frequencies", "1, 1, 1, 1")


def test_a_model_that_cannot_be_loaded_from_its_own_weights_is_unknown(assemble, monkeypatch):
    def refuse(model):
        raise ValueError("no such file")

    monkeypatch.setattr("preflight_ocr.probes.forward.buffers.load_again", refuse)
    parts = assemble()
    parts.built = msgspec.structs.replace(parts.built, weights="random")
    found = find_lost_buffers(parts)
    assert isinstance(found, Unknown)
    assert "built from its configuration by Preflight" in found.reason and "no such file" in found.reason


def test_loading_again_gives_the_same_weights(model):
    again = load_again(model)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(model.parameters(), again.parameters(), strict=True))


NATIVE = [
    pytest.param(model.name, marks=() if model.name in ("donut", "qwen2_vl") else pytest.mark.slow)
    for model in find_miniatures()
    if model.is_native
]


@pytest.mark.parametrize("name", NATIVE)
def test_no_native_miniature_loses_a_buffer_when_it_is_loaded_again(name, tmp_path):
    if obstacle := find_model_obstacle(name):
        pytest.skip(obstacle)
    parts = Assembly(write_project(tmp_path / "project", [], model=name), trust=True, folder=tmp_path)
    assert compare_with_fresh(load_again(parts.bare)) == ()


@pytest.mark.skipif(find_model_obstacle("dots_ocr") is not None, reason=str(find_model_obstacle("dots_ocr")))
def test_dots_ocr_without_its_weights_is_told_what_loading_will_do_to_it(tmp_path, sandbox):
    """As the real model is, whose weights are too large to be loaded."""
    path = write_project(tmp_path / "project", [], model="dots_ocr")
    bare = tmp_path / "model"
    shutil.copytree(place_model("dots_ocr"), bare, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    text = path.read_text(encoding="utf-8").replace(str(place_model("dots_ocr")), str(bare))
    document = {key: value for key, value in yaml.safe_load(text).items() if key != "subject"}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    found = [finding.name for finding in check(load_config(path), trust=True, sandbox=sandbox).findings]
    assert ("uninitialised_buffer" in found) is LOSES_BUFFERS
