"""What a model held before its first forward is put back, and what it keeps without registering it is named."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from preflight_ocr.probes.placement.initial_state import put_back, remember, write_initial_state
from preflight_ocr.probes.placement.rules import ANYWHERE, CARD, CPU
from preflight_ocr.probes.placement.simulated_card import simulate
from preflight_ocr.probes.placement.simulation import Simulation

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="with an accelerator there is nothing to simulate")


class Block(nn.Module):
    """Keeps a table, a cache that its forward fills, and a tensor in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.register_buffer("scale", torch.ones(3))
        self.table = torch.ones(3)
        self.many = [torch.ones(3)]
        self.cache: torch.Tensor | None = None
        self.cached = 0
        self.calls: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.cached < len(x):
            self.cache, self.cached = torch.ones(len(x), device=x.device), len(x)
        self.calls.append(1)
        return x * self.weight + self.cache


def move(simulation: Simulation, model: nn.Module) -> None:
    simulation.is_moving_model = True
    model.to(CARD)
    simulation.is_moving_model = False


def test_a_cache_of_an_earlier_forward_does_not_stand_for_one_on_the_card():
    model = Block()
    initial_state = remember(model)
    model(torch.ones(3))
    filled = model.cache
    later = remember(model)
    put_back(initial_state)
    assert model.cache is None and model.cached == 0
    with simulate() as s:
        move(s, model)
        write_initial_state(s, model, ())
        model(torch.ones(3, device=CARD))
        assert s.find(model.cache).device == CARD
    assert not s.clashes
    put_back(later)
    assert model.cache is filled and model.cached == 3 and len(model.calls) == 2


def test_attributes_that_are_no_buffers_stay_on_the_cpu_under_their_names():
    model = nn.Sequential(Block())
    with simulate() as s:
        move(s, model)
        write_initial_state(s, model, ())
        block = model[0]
        assert s.find(block.table).device == s.find(block.many[0]).device == CPU
        names = [s.find(t).origin.name for t in (block.table, block.many[0], block.scale, block.weight)]
        block.weight + block.table
    assert names == ["0.table", "0.many[0]", "0.scale", "0.weight"]
    (clash,) = s.clashes.values()
    assert clash.stray.origin is not None and clash.stray.origin.kind == "attribute"


def test_a_module_that_moves_its_attributes_itself_is_right():
    class Careful(Block):
        def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
            self.table = fn(self.table)
            return super()._apply(fn, recurse)

    model = Careful()
    with simulate() as s:
        move(s, model)
        write_initial_state(s, model, ())
        assert s.find(model.table).device == CARD


def test_a_hook_that_a_first_call_installed_stays():
    model = Block()
    initial_state = remember(model)
    model.cache = torch.ones(2)
    model.hooked = len  # what a library patches in, beside a tensor
    put_back(initial_state)
    assert model.cache is None and model.hooked is len


def test_buffers_are_put_back_as_they_were():
    model = Block()
    scale, later = model.scale, remember(model)
    with simulate() as s:
        move(s, model)
        assert model.scale is not scale
    put_back(later)
    assert model.scale is scale


def test_a_global_tensor_of_somebodys_module_is_named(tmp_path, monkeypatch):
    module = ModuleType("their_model")
    module.__file__, module.MEAN = str(tmp_path / "their_model.py"), torch.ones(3)
    monkeypatch.setitem(sys.modules, "their_model", module)
    initial_state = remember(Block())
    assert [name for name, _ in initial_state.globals if name.startswith("their")] == ["their_model.MEAN"]
    with simulate() as s:
        assert s.find(module.MEAN).device == ANYWHERE
        write_initial_state(s, Block(), initial_state.globals)
        assert s.find(module.MEAN).device == CPU
        torch.ones(3, device=CARD) * module.MEAN
    (clash,) = s.clashes.values()
    assert clash.stray.origin is not None and clash.stray.origin.kind == "global"
