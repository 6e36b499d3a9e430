from __future__ import annotations

import types

import pytest
import torch

from preflight_ocr.probes.accelerator.card import CpuCard
from preflight_ocr.probes.accelerator.moving import choose_part, find_left, find_strays, make_batch, move, place

META = torch.device("meta")


class Elsewhere(CpuCard):
    """A second device that every machine has: what is not moved there can be told apart."""

    def __init__(self):
        super().__init__()
        self.device = META


def test_nested_tensors_are_moved_as_trainer_moves_them():
    batch = {"ids": torch.ones(2), "images": [(torch.ones(3), torch.ones(1))], "sizes": {"page": torch.ones(2)}, "n": 3}
    moved = move(batch, META)
    assert not list(find_strays(moved, META))
    assert moved["n"] == 3 and batch["ids"].device.type == "cpu"


def test_what_stays_behind_has_a_path_that_reads_like_python():
    record = types.SimpleNamespace(crop=torch.ones(2, 2))
    moved = move({"ids": torch.ones(2), "sizes": [record], "whole": record}, META)
    strays = list(find_strays(moved, META))
    assert [stray.path for stray in strays] == ["sizes[0].crop", "whole.crop"]
    assert {(stray.owner, stray.shape, stray.device) for stray in strays} == {("batch", (2, 2), "cpu")}


def test_a_weight_and_a_buffer_that_stayed_are_named():
    model = torch.nn.Linear(2, 2).to(META)
    model.register_buffer("angles", torch.ones(4))
    assert [(stray.owner, stray.path) for stray in find_left(model, META)] == [("buffer", "angles")]
    model.bias = torch.nn.Parameter(torch.ones(2))
    assert [(stray.owner, stray.path) for stray in find_left(model, META)] == [("weight", "bias"), ("buffer", "angles")]


def test_the_healthy_project_leaves_nothing_behind(assemble):
    placed = place(assemble(), Elsewhere())
    assert placed.strays == ()
    assert {p.device.type for p in placed.model.parameters()} == {"meta"}


def test_an_entry_that_trainer_does_not_move_is_found(assemble, monkeypatch):
    parts = assemble()
    collate = parts.collate

    class Sizes:
        def __init__(self, tensor):
            self.tensor = tensor

        def __getitem__(self, index):
            return self.tensor[index]

        def __iter__(self):
            return iter(self.tensor)

        def __len__(self):
            return len(self.tensor)

    parts.collate = lambda rows: {k: Sizes(v) if k == "images_spatial_crop" else v for k, v in collate(rows).items()}
    assert [stray.path for stray in place(parts, Elsewhere()).strays] == ["images_spatial_crop.tensor"]


def test_where_the_users_batch_does_not_run_ours_is_taken(assemble):
    parts = assemble()
    parts.collate = lambda rows: {"input_ids": "nonsense"}
    assert make_batch(parts).keys() == dict(parts.seeded(parts.reference, parts.sample)).keys()


def test_where_nothing_runs_the_reason_is_the_models(assemble):
    parts = assemble()
    parts.bare.register_forward_pre_hook(lambda module, given: 1 / 0)
    with pytest.raises(ValueError, match="does not run on the CPU either: ZeroDivisionError"):
        make_batch(parts)


def test_a_project_is_loaded_again_in_another_dtype_and_on_one_device(assemble, tmp_path):
    chosen = choose_part(assemble(), tmp_path, dtype="bfloat16")
    assert {p.dtype for p in chosen.bare.parameters()} == {torch.bfloat16}
    assert chosen.config.model.device_map is None
    assert chosen.config.model.attn_implementation == "eager"
