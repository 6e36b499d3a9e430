"""What a frozen vision part made of the same pixels is taken over; whatever could make it something else has it computed."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.families.anatomy import Anatomy
from preflight_ocr.probes.forward import forward
from preflight_ocr.probes.workbench.towers import compute_towers, find_towers, keep_towers

ANATOMY = Anatomy(embedding="embed", head="head", layers="layers")


class Tower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 4)
        self.dropout = nn.Dropout(0.5)
        self.computed = 0
        self.seen: list[int] | None = None

    def forward(self, pixels, *, scale=1.0):
        computed.append(1)
        if self.seen is not None:
            self.seen.append(len(self.seen))
        return {"features": self.dropout(self.inner(pixels) * scale), "scale": scale}


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.vision_tower = Tower()
        self.projector = nn.Linear(4, 4)
        self.embed, self.head = nn.Embedding(8, 4), nn.Linear(4, 8)
        self.layers = nn.ModuleList([nn.Linear(4, 4)])


computed: list[int] = []


class Onlooker(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


@pytest.fixture
def model() -> Model:
    computed.clear()
    torch.manual_seed(0)
    return Model().eval().requires_grad_(False)


PIXELS = torch.arange(6.0).reshape(2, 3)


def run_twice(model: Model, between=lambda: None, pixels=PIXELS, **named):
    with keep_towers(model, ANATOMY):
        first = model.vision_tower(PIXELS, **named)
        between()
        return first, model.vision_tower(pixels, **named)


def test_the_tower_is_found_with_neither_the_language_model_nor_the_list_around_it(model):
    assert find_towers(model, ANATOMY) == [model.vision_tower]
    model.vision_tower = nn.ModuleList([Tower(), Tower()])
    assert find_towers(model, ANATOMY) == list(model.vision_tower)


def test_the_same_pixels_are_computed_once_and_nobody_else_can_change_what_is_kept(model):
    first, again = run_twice(model)
    assert len(computed) == 1 and torch.equal(first["features"], again["features"]) and again["scale"] == 1.0
    with keep_towers(model, ANATOMY):
        whole = model.vision_tower(PIXELS)["features"].clone()
        model.vision_tower(PIXELS)["features"].zero_()
        assert torch.equal(model.vision_tower(PIXELS)["features"], whole)
    assert nn.Module.__call__.__qualname__.startswith("Module.")


def test_pixels_that_were_changed_in_place_are_other_pixels(model):
    pixels = PIXELS.clone()
    with keep_towers(model, ANATOMY):
        first = model.vision_tower(pixels)["features"]
        pixels += 1
        assert not torch.equal(model.vision_tower(pixels)["features"], first) and len(computed) == 2


CHANGES = {
    "a weight": lambda model: model.vision_tower.inner.weight.add_(1),
    "a weight behind the back of its version": lambda model: model.vision_tower.inner.weight.data.add_(1),
    "another tensor in its place": lambda model: setattr(
        model.vision_tower.inner, "weight", nn.Parameter(torch.ones(4, 3), requires_grad=False)
    ),
    "a weight that is trained": lambda model: model.vision_tower.requires_grad_(True),
    "somebody who watches": lambda model: model.vision_tower.inner.register_forward_hook(lambda *given: None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_pixels_are_computed_again_after(change, model):
    _, again = run_twice(model, lambda: CHANGES[change](model))
    assert len(computed) == 2
    assert torch.equal(again["features"], model.vision_tower(PIXELS)["features"])


@pytest.mark.parametrize("change", ["chance", "a list that grows", "another argument", "a gradient", "another mode"])
def test_what_is_not_the_same_call_is_computed(change, model):
    if change == "chance":
        model.train()
    if change == "a list that grows":
        model.vision_tower.seen = []
    pixels = PIXELS.clone().requires_grad_(change == "a gradient")
    with keep_towers(model, ANATOMY):
        for number in range(3):
            mode = Onlooker() if change == "another mode" and number else contextlib.nullcontext()
            with mode:
                model.vision_tower(pixels, scale=number if change == "another argument" else 1)
    assert len(computed) == 3
    if change == "a list that grows":
        assert model.vision_tower.seen == [0, 1, 2]


def test_who_asks_what_a_call_leaves_behind_has_it_computed(model):
    with keep_towers(model, ANATOMY):
        model.vision_tower(PIXELS)
        with compute_towers():
            model.vision_tower(PIXELS)
        model.vision_tower(PIXELS)
    assert len(computed) == 2


@pytest.mark.parametrize("name", ["deepseek_ocr", "donut"])
def test_a_healthy_model_shows_the_same_facts_with_its_towers_kept_and_without(name, tmp_path, monkeypatch):
    path = write_project(tmp_path / "project", [], model=name)

    def observe(folder: Path) -> dict[str, object]:
        folder.mkdir()
        facts = forward.observe(str(path), True, str(folder))
        return msgspec.to_builtins(facts)

    kept = observe(tmp_path / "kept")
    monkeypatch.setattr(forward, "keep_towers", lambda *given: contextlib.nullcontext())
    assert observe(tmp_path / "computed") == kept
