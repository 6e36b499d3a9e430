from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from preflight_ocr.harness.config import compat
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.config.errors import ConfigError
from preflight_ocr.harness.config.keys import effective_keys, find_nearest, inert_keys
from preflight_ocr.harness.config.schema import Config
from tests.support.places import ROOT

FULL = """\
model: {base_model: MODEL, torch_dtype: float32, attn_implementation: eager, device_map: auto, trust_remote_code: true}
lora: {r: 8, lora_alpha: 16, lora_dropout: 0.05, bias: none, task_type: CAUSAL_LM, target_modules: [q_proj, v_proj]}
training: {output_dir: out, num_train_epochs: 5, per_device_train_batch_size: 1, gradient_accumulation_steps: 2,
           learning_rate: 3.0e-4, save_steps: 500, eval_steps: 500, evaluation_strategy: steps, fp16: false,
           report_to: tensorboard, seed: 42}
optimization: {optimizer: adamw_torch, lr_scheduler_type: cosine, max_grad_norm: 1.0}
data: {train_path: train, val_path: val, max_seq_length: 512, preprocessing: {base_size: 512},
       augmentation: {enabled: true, rotation_range: 5, brightness_range: [0.8, 1.2], contrast_range: [0.8, 1.2]}}
early_stopping: {patience: 5, threshold: 0.01}
budget: {vram_gb: 16}
"""


@pytest.fixture
def read(tmp_path: Path):
    def read(text: str) -> Config:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path)

    return read


def test_a_file_of_the_documented_shape_is_read_whole(read):
    config = read(FULL)
    assert config.unknown_keys == ()
    assert inert_keys(config) == ()
    assert config.lora.target_modules == ["q_proj", "v_proj"]
    assert config.training.eval_strategy == "steps"
    assert config.training.arguments["evaluation_strategy"] == "steps"
    assert config.training.optim == "adamw_torch"
    assert config.data.augmentation.brightness_range == (0.8, 1.2)
    assert config.early_stopping is not None and config.early_stopping.patience == 5
    assert "training.learning_rate" in config.given
    assert pickle.loads(pickle.dumps(config)) == config


def test_a_learning_rate_that_yaml_reads_as_text_is_a_number(read):
    config = read("model: {base_model: m}\ntraining: {learning_rate: 3e-4, weight_decay: 1E-2}")
    assert config.training.learning_rate == 3e-4
    assert config.training.arguments == {"learning_rate": 3e-4, "weight_decay": 1e-2}


def test_the_word_none_means_nothing_except_where_it_is_a_choice(read):
    config = read("model: {base_model: m, revision: None}\nlora: {bias: None, task_type: null}\ndata: {val_path: null}")
    assert config.model.revision is None
    assert config.lora.bias == "none"
    assert config.lora.task_type is None
    assert config.data.val_path is None


@pytest.mark.parametrize("key", ["quantisation_config", "bits", "bnb_config", "lora.rank"])
def test_a_key_of_another_trainers_file_gets_no_suggestion_that_only_sounds_alike(key):
    assert find_nearest(key) is None


@pytest.mark.parametrize("key", ["quantization", "model.quantisation", "load_in_4bit", "model.load_in_4bit"])
def test_a_key_of_another_trainers_file_is_led_to_the_section_for_it(key):
    assert find_nearest(key).startswith("model.quantization")


def test_the_section_is_read_and_null_leaves_what_the_library_takes(read):
    text = "quantization: {load_in_4bit: true, bnb_4bit_quant_type: nf4, bnb_4bit_compute_dtype: null}"
    section = read(f"model: {{base_model: m, {text}}}").model.quantization
    assert (section.load_in_4bit, section.bnb_4bit_quant_type, section.bnb_4bit_compute_dtype) == (True, "nf4", None)


def test_a_section_that_switches_nothing_on_is_inert(read):
    config = read("model: {base_model: m, quantization: {bnb_4bit_quant_type: nf4}}")
    assert [key.path for key in inert_keys(config)] == ["model.quantization.bnb_4bit_quant_type"]


@pytest.mark.parametrize(
    ("text", "path", "nearest"),
    [
        ("data: {agumentation: {enabled: true}}", "data.agumentation", "data.augmentation"),
        ("training: {learnin_rate: 1.0}", "training.learnin_rate", "training.learning_rate"),
        ("training: {lora_alpha: 1.0}", "training.lora_alpha", "lora.lora_alpha"),
        ("lora: {rank: 4}", "lora.rank", None),
        ("trainin: {seed: 1}", "trainin", "training"),
        ("wandb: {project: x}", "wandb", None),
    ],
)
def test_an_unknown_key_is_reported_with_the_nearest_known_one(read, text, path, nearest):
    (unknown,) = read(f"model: {{base_model: m}}\n{text}").unknown_keys
    assert unknown.path == path
    assert unknown.line == 2
    assert unknown.nearest == nearest or nearest is None


def test_resize_is_a_key_without_effect(read):
    (inert,) = inert_keys(read("model: {base_model: m}\ndata: {preprocessing: {resize: [1024, 1024]}}"))
    assert inert.path == "data.preprocessing.resize"


def test_augmentation_that_is_not_enabled_has_no_effect(read):
    config = read("model: {base_model: m}\ndata: {augmentation: {rotation_range: 5}}")
    assert [key.path for key in inert_keys(config)] == ["data.augmentation.rotation_range"]


def test_the_size_of_a_cache_that_is_not_asked_for_has_no_effect(read):
    config = read("model: {base_model: m}\ndata: {cache_gb: 5}")
    assert [(key.path, key.reason) for key in inert_keys(config)] == [
        ("data.cache_gb", "`data.cache_dir` is not given")
    ]
    assert not inert_keys(read("model: {base_model: m}\ndata: {cache_gb: 5, cache_dir: kept}"))


def test_a_cache_is_read_by_our_collator_alone(read):
    config = read("model: {base_model: m}\ndata: {cache_dir: kept}\nsubject: {collator: 'mine.parts:collate'}")
    assert "data.cache_dir" in [key.path for key in inert_keys(config)]


def test_keys_that_only_our_part_reads_lose_their_effect_with_it(read):
    config = read(f"{FULL}subject: {{collator: 'mine.parts:collate'}}")
    assert "data.max_seq_length" not in effective_keys(config)
    assert "lora.r" in effective_keys(config)
    assert "subject.collator" in next(key.reason for key in inert_keys(config) if key.path == "data.max_seq_length")


def test_training_wins_over_optimization_and_the_loser_is_reported(read):
    config = read("model: {base_model: m}\ntraining: {optim: adafactor}\noptimization: {optimizer: adamw_torch}")
    assert config.training.optim == "adafactor"
    assert [key.path for key in inert_keys(config)] == ["optimization.optimizer"]


def test_a_relative_path_is_beside_the_file_when_it_exists_there(read, tmp_path, monkeypatch):
    (tmp_path / "train").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    config = read("model: {base_model: owner/name}\ndata: {train_path: train, val_path: val}")
    assert config.data.train_path == tmp_path / "train"
    assert config.data.val_path == elsewhere / "val"
    assert config.model.base_model == "owner/name" and config.model.directory is None


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("model:\n\tbase_model: m", 2, "use spaces"),
        ("model: {base_model: m\nlora: {r: 8}", 2, "broken YAML"),
        ('model: {base_model: "C:\\data"}', 1, "single quotes"),
        ("model: {base_model: m}\nlora: {r: eight}", 2, "`lora.r` is 'eight'"),
        ("model: {base_model: m}\n\ntraining:\n  evaluation_strategy: [steps]", 4, "training.evaluation_strategy"),
        ("model: {base_model: m}\ndata: {preprocessing: {resampling: draft}}", 2, "resampling` is 'draft'"),
        ("model: {base_model: m}\nlora: 8", 2, "expected a mapping"),
        ("model: {}", 1, "model.base_model"),
        ("model: {base_model: m}\nsubject: {peft: mine}", 2, "package.module:function"),
        ("- 1", None, "expected a mapping"),
        ("", None, "an empty file"),
        ("[" * 1500, None, "not readable YAML"),
    ],
)
def test_a_broken_file_is_an_error_that_names_the_line_and_the_remedy(read, text, line, says):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert caught.value.line == line
    assert says in str(caught.value)
    assert "config.yaml" in str(caught.value)


def test_a_missing_file_and_a_file_of_another_encoding_are_errors_of_ours(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("модель: 1".encode("cp1251"))
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(tmp_path / "latin.yaml")


def test_reading_a_config_imports_no_heavy_library(tmp_path):
    (tmp_path / "c.yaml").write_text("model: {base_model: m}\ntraining: {no_such_field: 1}", encoding="utf-8")
    code = (
        "import sys, pathlib; from preflight_ocr.harness.config.config import load_config;"
        "load_config(pathlib.Path(sys.argv[1]));"
        "print(sorted({'torch', 'transformers', 'peft', 'PIL', 'numpy'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "c.yaml")]
    root = ROOT
    assert subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout.strip() == "[]"


def test_every_field_of_the_installed_training_arguments_is_known():
    transformers = pytest.importorskip("transformers")
    installed = compat.accepted_names(transformers.TrainingArguments.__init__)
    assert not [name for name in installed if not compat.is_training_argument(name)]


def test_names_are_resolved_by_what_the_signature_accepts():
    new, old = {"eval_strategy", "warmup_steps"}, {"evaluation_strategy", "warmup_steps", "warmup_ratio"}
    given = {"evaluation_strategy": "steps", "warmup_ratio": 0.1, "use_ipex": True}
    assert compat.fit_training_arguments(given, new) == ({"eval_strategy": "steps", "warmup_steps": 0.1}, ("use_ipex",))
    assert compat.fit_training_arguments({"eval_strategy": "no", "warmup_steps": 0.1}, old) == (
        {"evaluation_strategy": "no", "warmup_ratio": 0.1},
        (),
    )
