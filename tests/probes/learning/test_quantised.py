from __future__ import annotations

from pathlib import Path

import pytest
import torch

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.probes.learning.quantised import find_merges, look_at_quantised
from preflight_ocr.probes.workbench.assembly import Assembly


@pytest.fixture
def look(tmp_path):
    pytest.importorskip("bitsandbytes")

    def look(*faults: str, model: str = "qwen2_vl"):
        torch.set_num_threads(1)
        project = write_project(tmp_path / "project", faults, model=model)
        return look_at_quantised(Assembly(str(project), trust=True, folder=tmp_path))

    return look


def test_layers_are_counted_by_part_and_what_was_left_alone_beside_them(look):
    found = look("rep-19")
    assert set(found.parts) == {"attention", "mlp"} and found.kept["vision"] and found.kept["head"] == 1
    assert (found.formats, found.compute_dtypes) == (("nf4",), ("bfloat16",))
    assert (found.head, found.unpacked, found.unheeded) == ("", (), {})
    assert set(found.norm_dtypes) == {"float32"}


def test_a_tied_head_is_found_by_its_layer_although_its_weight_is_ordinary(look):
    found = look("rep-20")
    assert found.head == "lm_head" and found.unpacked == ("lm_head",)


def test_a_head_with_a_weight_of_its_own_is_packed(look):
    found = look("rep-20", model="qwen2_5_vl")
    assert found.head == "lm_head" and found.unpacked == ()


def test_a_model_that_is_not_packed_has_nothing_to_tell(look):
    assert look() is None


def test_the_line_that_merges_is_found_in_the_users_own_part(tmp_path):
    project = write_project(tmp_path / "project", ("qlora-05",), model="qwen2_vl")
    (merge,) = find_merges(Assembly(str(project), trust=True, folder=tmp_path).config)
    source = Path(tmp_path / "project" / merge.file).read_text(encoding="utf-8")
    assert "merge_and_unload" in source.splitlines()[merge.line - 1]
