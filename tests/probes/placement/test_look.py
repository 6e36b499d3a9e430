"""The whole look: a healthy project on a simulated card, and projects with one fault each."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import preflight_ocr.probes.placement.look
from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.facts import Placement, Site, Unknown
from preflight_ocr.harness.training.redirects import redirect_cuda
from preflight_ocr.probes.forward.forward import look_at_forward
from preflight_ocr.probes.placement import look_at_placement, remember
from preflight_ocr.probes.placement.simulation import Simulation
from preflight_ocr.probes.workbench.assembly import Assembly

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="with an accelerator there is nothing to simulate")


def look(project: Path, folder: Path) -> Placement:
    with redirect_cuda():
        placement = look_at_forward(Assembly(project, trust=True, folder=folder)).placement
    assert isinstance(placement, Placement), placement
    return placement


@pytest.fixture
def planted(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "planted", raising=False)  # the user's module of the test before
    return lambda *faults: look(write_project(tmp_path / "project", faults), tmp_path)


def test_a_healthy_model_mixes_nothing_and_its_waits_are_counted_by_place(project, tmp_path):
    seen = look(project, tmp_path)
    assert (seen.ended, seen.in_training, seen.generated) == ("ok", "ok", "ok")
    assert not (seen.clashes or seen.unmoved or seen.returned or seen.host_copies or seen.undecided)
    assert {(w.call, w.site.file) for w in seen.synchronisations if w.site} >= {("item", "modeling_deepseekocr.py")}


def test_the_models_own_cuda_call_is_noted_as_the_models(project, tmp_path):
    (named,) = look(project, tmp_path).named
    assert named.owner == "model" and ".cuda()" in named.site.code


def test_a_helper_made_on_the_cpu_is_found_with_both_lines(planted):
    (clash,) = planted("web-29").clashes
    assert clash.operation == "add" and clash.stray.argument == "other"
    assert clash.site is not None and clash.site.code == "return output + places"
    assert clash.stray.origin is not None and isinstance(clash.stray.origin.site, Site)
    assert clash.stray.origin.site.code.startswith("places = torch.zeros(")


def test_an_unmoved_entry_is_found_with_its_path_and_shape(planted):
    seen = planted("own-10")
    assert seen.unmoved[0].path == "images.pixels[0][0]" and seen.unmoved[0].holder.endswith("unmoved_entry.Pages")
    assert any(m.stray.origin and m.stray.origin.name.startswith("images.pixels") for m in seen.clashes)


def test_what_the_collator_sent_to_the_card_is_found_with_its_line(planted):
    seen = planted("own-09")
    assert {entry.path for entry in seen.returned} >= {"input_ids", "labels"}
    assert seen.returned[0].site is not None and ".cuda()" in seen.returned[0].site.code
    assert {card.during for card in seen.named if card.owner == "user"} == {"collator"}


def test_the_model_is_left_as_it_was(project, tmp_path):
    parts = Assembly(project, trust=True, folder=tmp_path)
    with redirect_cuda(), torch.no_grad():
        batch = parts.seeded(parts.collate, parts.sample)
        initial_state = remember(parts.model)
        before = parts.model(**batch).logits
        held = {name: id(b) for name, b in parts.model.named_buffers()}
        chance = torch.get_rng_state()
        seen = look_at_placement(parts, initial_state, batch, repaired={}, whole=True)
        assert isinstance(seen, Placement)
        assert torch.equal(chance, torch.get_rng_state())
        assert {name: id(b) for name, b in parts.model.named_buffers()} == held
        assert not parts.model.training
        assert torch.equal(parts.model(**batch).logits, before)


def test_a_simulation_that_breaks_says_so_and_decides_nothing(project, tmp_path, monkeypatch):
    def refuse(self: Simulation) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(Simulation, "list_waits", refuse)
    parts = Assembly(project, trust=True, folder=tmp_path)
    with redirect_cuda():
        batch = parts.seeded(parts.collate, parts.sample)
        seen = look_at_placement(parts, remember(parts.model), batch, repaired={}, whole=True)
    assert not isinstance(seen, Placement)
    assert seen.reason == "the simulation of an accelerator broke: RuntimeError: no such thing" and seen.failed


def test_a_model_that_cannot_be_moved_says_why_and_decides_nothing(project, tmp_path, monkeypatch):
    parts = Assembly(project, trust=True, folder=tmp_path)

    def refuse(*given: object, **named: object) -> None:
        raise ValueError("`.to` is not supported for 4-bit models")

    monkeypatch.setattr(type(parts.bare), "to", refuse)
    with redirect_cuda():
        batch = parts.seeded(parts.collate, parts.sample)
        seen = look_at_placement(parts, remember(parts.model), batch, repaired={}, whole=True)
    assert not isinstance(seen, Placement) and not seen.failed
    assert "4-bit" in seen.reason


def test_of_a_large_model_nothing_is_written_and_that_is_said(project, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight_ocr.probes.placement.look, "LARGE", 10)
    seen = look(project, tmp_path)
    assert (seen.ended, seen.in_training) == ("ok", "ok")
    assert isinstance(seen.generated, Unknown) and seen.generated.reason.startswith("not run: ")
