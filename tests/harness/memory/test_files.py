from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from preflight_ocr.harness.memory.files import guess_part, read_weights

TOTAL = 6_672_212_480


@pytest.fixture
def index(tmp_path):
    """A directory that holds only JSON files, as a download without weights does."""
    names = [
        "model.sam_model.blocks.0.attn.qkv.weight",
        "model.layers.1.mlp.experts.0.up_proj.weight",
        "lm_head.weight",
    ]
    content = {"metadata": {"total_size": TOTAL}, "weight_map": dict.fromkeys(names, "model-00001.safetensors")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "config.json").write_text(
        json.dumps({"language_config": {"torch_dtype": "bfloat16"}}), encoding="utf-8"
    )
    return tmp_path


def test_an_index_gives_the_total_and_counts_names(index):
    found = read_weights(index)
    assert (found.total, found.dtype, found.shares) == (TOTAL, "bfloat16", ())
    assert found.tensors == {"vision": 1, "experts": 1, "head": 1}


def test_headers_give_bytes_by_part_and_dtype(tmp_path):
    weights = {
        "visual.blocks.0.weight": np.zeros((3, 5), np.float32),
        "model.embed_tokens.weight": np.zeros((7, 2), np.float16),
    }
    save_file(weights, tmp_path / "model.safetensors")
    found = read_weights(tmp_path)
    assert found.total == 15 * 4 + 14 * 2
    assert {(s.part, s.dtype, s.parameters, s.bytes) for s in found.shares} == {
        ("vision", "float32", 15, 60),
        ("embedding", "float16", 14, 28),
    }


@pytest.mark.parametrize(
    ("content", "seen"),
    [("{", "cannot be read"), ('{"weight_map": {}}', "KeyError"), ('{"metadata": {"total_size": "8"}}', "'8'")],
)
def test_a_broken_index_is_a_reason_and_no_traceback(tmp_path, content, seen):
    (tmp_path / "model.safetensors.index.json").write_text(content, encoding="utf-8")
    assert seen in read_weights(tmp_path)


def test_a_cut_off_weight_file_is_a_reason(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 16)
    assert "cut short" in read_weights(tmp_path)


def test_a_directory_without_weights_and_index_says_what_it_looked_for(tmp_path):
    assert "model.safetensors.index.json" in read_weights(tmp_path)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("model.vision_model.transformer.layers.0.self_attn.qkv_proj.weight", "vision"),
        ("model.projector.layers.weight", "projector"),
        ("model.layers.0.self_attn.q_proj.weight", "attention"),
        ("model.layers.0.mlp.gate_proj.weight", "mlp"),
        ("model.norm.weight", "other"),
    ],
)
def test_a_name_speaks_of_its_part(name, part):
    assert guess_part(name) == part
