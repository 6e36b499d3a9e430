from __future__ import annotations

import shutil

import msgspec
import pytest
import yaml
from PIL import Image

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.commands.memory import predict
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.memory.fit import CONTEXT
from preflight_ocr.probes.rehearsal import forecast
from preflight_ocr.probes.rehearsal.forecast import choose_candidates
from tests.support.places import MODELS

MINIATURE = MODELS / "deepseek_ocr"
TOTAL = 6_672_212_480  # bytes of the published weights, as their index says
SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.fixture(scope="module")
def full_size(tmp_path_factory):
    """The miniature's code with the sizes of the published model, and no weights."""
    directory = tmp_path_factory.mktemp("full") / "full_size"
    shutil.copytree(MINIATURE, directory, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__", "config.json"))
    config = msgspec.json.decode((MINIATURE / "config.json").read_bytes())
    language = {
        "hidden_size": 1280, "intermediate_size": 6848, "moe_intermediate_size": 896, "n_routed_experts": 64,
        "num_attention_heads": 10, "num_key_value_heads": 10, "num_experts_per_tok": 6, "num_hidden_layers": 12,
        "vocab_size": 129280,
    }  # fmt: skip
    config |= language
    config["language_config"] |= language
    config["projector_config"] |= {"input_dim": 2048, "n_embed": 1280}
    config["vision_config"]["image_size"] = 1024
    config["vision_config"]["width"] = {
        "clip-l-14-224": {"heads": 16, "image_size": 224, "layers": 24, "patch_size": 14, "width": 1024},
        "sam_vit_b": {
            "downsample_channels": [512, 1024], "global_attn_indexes": [2, 5, 8, 11], "heads": 12, "layers": 12,
            "width": 768,
        },
    }  # fmt: skip
    (directory / "config.json").write_bytes(msgspec.json.encode(config))
    return directory


@pytest.fixture(scope="module")
def foresee(sandbox):
    """YAML file -> Answer. In children: a process imports remote code once, under one name."""
    return lambda path: predict(load_config(path), trust=True, sandbox=sandbox)


def write(folder, document, **sections):
    for name, values in sections.items():
        document[name] = {**document.get(name, {}), **values}
    path = folder / "project.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def answer(full_size, foresee, tmp_path_factory):
    """The full-size model with the adapter of the contracts, and no rows."""
    document = {
        "model": {"base_model": str(full_size), "torch_dtype": "bfloat16", "attn_implementation": "eager"},
        "lora": {"r": 16, "target_modules": SEVEN, "task_type": "CAUSAL_LM"},
    }
    return foresee(write(tmp_path_factory.mktemp("weights"), document))


@pytest.mark.slow
def test_the_weights_of_the_full_size_model_are_those_of_its_index_to_the_byte(answer):
    assert answer.weight_bytes == TOTAL
    assert {share.dtype for share in answer.weights} == {"bfloat16"}
    assert sum(share.bytes for share in answer.weights) == TOTAL
    assert {share.part for share in answer.weights} >= {"vision", "projector", "experts", "head", "embedding"}


def test_without_rows_the_rest_is_said_to_be_unknown(answer):
    assert answer.peak is None and answer.fits is None
    assert any("train_path" in reason for reason in answer.unknown)


def test_the_adapter_of_the_full_size_model_is_counted_without_memory(answer):
    assert answer.trained_parameters == 77_509_632
    assert answer.trained_bytes == 4 * 77_509_632  # PEFT keeps what it trains in float32


@pytest.fixture
def project(tmp_path):
    """A project on the miniature, and a way to change it."""
    path = write_project(tmp_path / "project", [], model="deepseek_ocr")
    document = yaml.safe_load(path.read_text(encoding="utf-8"))

    def change(**sections):
        return write(path.parent, document, **sections)

    return change


def test_a_project_gets_a_peak_by_kind_for_its_worst_row(project, foresee):
    answer = foresee(project())
    assert answer.unknown == () and answer.fits is None
    assert sum(answer.peak.parts.values()) == answer.peak.requested <= answer.peak.allocated <= answer.peak.segments
    assert answer.needed == answer.peak.segments + answer.peak.libraries + answer.peak.context
    assert answer.peak.parts["weights"] == answer.weight_bytes
    assert answer.peak.parts["adapter"] == answer.trained_bytes
    assert answer.step.looked_at == answer.step.rows == 6
    assert answer.step.longest_row > 50


@pytest.mark.slow
def test_a_project_over_its_budget_gets_changes_that_were_measured(project, foresee):
    path = project(budget={"vram_gb": (CONTEXT + (30 << 20)) / 2**30}, training={"per_device_train_batch_size": 4})
    answer = foresee(path)
    assert answer.fits is False and answer.needed > answer.budget
    assert answer.changes and all(change.needed < answer.needed for change in answer.changes)
    words = [change.words for change in answer.changes]
    assert any(word.startswith("batch size 1") for word in words) and "gradient checkpointing" in words
    chosen = next(change for change in answer.changes if change.fits)
    again = foresee(project(**yaml.safe_load(chosen.yaml)))
    assert again.needed == chosen.needed and again.fits


def test_the_worst_of_many_rows_is_looked_for_among_long_texts_large_and_elongated_pages(tmp_path):
    rows = []
    for number in range(60):
        sides = {7: (900, 900), 11: (1200, 20)}.get(number, (30, 30))
        Image.new("L", sides).save(tmp_path / f"{number}.png")
        rows.append({"image_path": str(tmp_path / f"{number}.png"), "text": "x" * (500 if number == 23 else 3)})
    chosen = choose_candidates(rows)
    assert len(chosen) <= forecast.PREPARED_ROWS
    assert all(rows[number] in chosen for number in (7, 11, 23))
    assert choose_candidates(rows[:5]) == rows[:5]


def test_weights_are_counted_in_the_dtype_they_will_be_loaded_in(full_size, foresee, tmp_path):
    document = {"model": {"base_model": str(full_size), "torch_dtype": "float32", "attn_implementation": "eager"}}
    answer = foresee(write(tmp_path, document))
    assert (answer.weight_bytes, {share.dtype for share in answer.weights}) == (2 * TOTAL, {"float32"})
    assert answer.trained_parameters is None
