"""The YAML file's own arithmetic, and the checkpoints that already lie in its output folder."""

from __future__ import annotations

import os

import pytest

from preflight_ocr.harness.config.errors import ConfigError
from preflight_ocr.harness.facts import Checkpoint, Configuration, Unknown
from preflight_ocr.harness.launched import COUNT, without_launcher
from preflight_ocr.probes.reading.configuration import look_at_configuration
from preflight_ocr.probes.reading.exports import Exports


@pytest.fixture
def look(plant, configure, exports):
    def run(document=None, rows: int | str = 10, **files) -> Configuration:
        metadata = [{"image_path": "a", "text": "b"}] * rows if isinstance(rows, int) else rows
        root = plant({"train/metadata.json": metadata, **files})
        document = {"data": {"train_path": str(root / "train")}, **(document or {})}
        return look_at_configuration(configure(document), exports)

    return run


@pytest.mark.parametrize(
    ("training", "rows", "steps"),
    [
        ({"per_device_train_batch_size": 1, "num_train_epochs": 1}, 10, 10),
        ({"per_device_train_batch_size": 4, "num_train_epochs": 1}, 10, 3),
        ({"per_device_train_batch_size": 4, "num_train_epochs": 1, "dataloader_drop_last": True}, 10, 2),
        ({"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "num_train_epochs": 5}, 10, 15),
        ({"per_device_train_batch_size": 2, "num_train_epochs": 0.5}, 10, 3),
        ({"per_device_train_batch_size": 64, "gradient_accumulation_steps": 8, "num_train_epochs": 3}, 10, 3),
        ({"max_steps": 7}, 10, 7),
    ],
)
def test_optimizer_steps_are_counted_as_trainer_counts_them(look, training, rows, steps):
    assert look({"training": training}, rows=rows).total_steps == steps


def test_steps_are_shared_between_the_ranks(look, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    seen = look({"training": {"per_device_train_batch_size": 1, "num_train_epochs": 1}}, rows=8)
    assert (seen.world_size, seen.total_steps) == (4, 2)
    # A child of the check is none of the four, and counts their steps all the same.
    alone = without_launcher(os.environ)
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.setenv(COUNT, alone[COUNT])
    seen = look({"training": {"per_device_train_batch_size": 1, "num_train_epochs": 1}}, rows=8)
    assert (seen.world_size, seen.total_steps) == (4, 2)


def test_steps_are_unknown_when_the_rows_cannot_be_read(look, configure, exports):
    assert isinstance(look(rows="[oops").total_steps, Unknown)
    assert isinstance(look_at_configuration(configure(), exports).total_steps, Unknown)
    with pytest.raises(ConfigError, match=r"per_device_train_batch_size` is 0, expected a number from 1"):
        look({"training": {"per_device_train_batch_size": 0}})


@pytest.mark.parametrize(
    ("training", "warmup"),
    [
        ({"warmup_steps": 100}, 100),
        ({"warmup_ratio": 0.1}, 5),
        ({"warmup_steps": 0.1}, 5),
        ({"warmup_steps": 3, "warmup_ratio": 0.5}, 3),
        ({}, 0),
    ],
)
def test_warm_up_is_given_in_steps_whichever_way_it_is_asked_for(look, training, warmup):
    seen = look({"training": {"max_steps": 41, **training}})
    assert seen.warmup_steps == warmup


def test_save_and_evaluation_steps_may_be_fractions_and_default_to_logging(look):
    seen = look({"training": {"max_steps": 100, "save_steps": 0.25, "eval_strategy": "steps", "logging_steps": 5}})
    assert (seen.save_steps, seen.eval_steps) == (25, 5)
    assert look({"training": {"eval_steps": 30}}).eval_steps == 30


def test_old_and_new_names_arrive_at_the_same_fact(look):
    for name in ("evaluation_strategy", "eval_strategy"):
        assert look({"training": {name: "steps"}}).eval_strategy == "steps"


def test_an_unknown_key_comes_with_the_nearest_known_one(look):
    seen = look({"lora": {"target_module": ["q"]}})
    assert [(key.path, key.nearest) for key in seen.unknown_keys] == [("lora.target_module", "lora.target_modules")]


def test_a_field_the_installed_release_would_refuse_is_without_effect(plant, look):
    plant(
        {
            "site/transformers/__init__.py": "from .training_args import TrainingArguments\n",
            "site/transformers/training_args.py": """
                from dataclasses import dataclass
                @dataclass
                class TrainingArguments:
                    output_dir: str
                    eval_strategy: str = "no"
            """,
        }
    )
    seen = look({"training": {"evaluation_strategy": "no", "jit_mode_eval": True, "output_dir": "o"}})
    assert [key.path for key in seen.ineffective_keys] == ["training.jit_mode_eval"]


def test_fields_that_work_with_the_installed_release_are_all_effective(plant, configure, tmp_path):
    training = {"output_dir": "o", "evaluation_strategy": "steps", "warmup_ratio": 0.1, "logging_dir": "l", "seed": 1}
    seen = look_at_configuration(configure({"training": training}), Exports())
    assert seen.ineffective_keys == ()


def test_a_key_that_only_a_replaced_part_of_ours_reads_is_without_effect_unless_the_users_part_reads_it(plant, look):
    def paths(code: str) -> list[str]:
        root = plant({"mine/parts.py": code})
        data = {"train_path": str(root / "train"), "max_seq_length": 9, "augmentation": {"enabled": True}}
        subject = {"path": str(root / "mine"), "collator": "parts:make"}
        return sorted(key.path for key in look({"data": data, "subject": subject}).ineffective_keys)

    assert paths("def make(c, p, m): ...") == ["data.augmentation.enabled", "data.max_seq_length"]
    assert paths("def make(c, p, m):\n    return c.data.max_seq_length") == ["data.augmentation.enabled"]
    assert paths("def make(c, p, m):\n    return c['data']['augmentation'].enabled") == ["data.max_seq_length"]
    for take in ("from preflight_ocr import build_collator", "import preflight_ocr\nx = preflight_ocr.build_collator"):
        assert paths(f"{take}\ndef make(c, p, m): ...") == []


def test_devices_of_a_written_out_map_are_named_once_each(look):
    device_map = {"model.embed": 0, "model.layers": 1, "head": "cpu", "x": 0}
    model = {"base_model": ".", "device_map": device_map}
    assert look({"model": model}).device_map == "cpu, cuda:0, cuda:1"
    assert look({"model": {"base_model": ".", "device_map": "auto"}}).device_map == "auto"


def test_a_budget_is_counted_in_bytes(look):
    assert look({"budget": {"vram_gb": 16}}).budget_bytes == 16 * 2**30


def test_checkpoints_are_read_in_the_order_of_their_steps(look, tmp_path):
    adapter = {"base_model_name_or_path": "org/m", "peft_type": "LORA", "r": 8, "target_modules": ["v", "q"]}
    files = {
        "out/checkpoint-1000/adapter_config.json": adapter,
        "out/checkpoint-200/trainer_state.json": {},
        "out/checkpoint-30/adapter_config.json": "{broken",
        "out/checkpoint-empty/readme.txt": "",
        "out/elsewhere/adapter_config.json": adapter,
    }
    seen = look({"training": {"output_dir": str(tmp_path / "out")}}, **files)
    folder = tmp_path / "out"
    assert seen.checkpoints == (
        Checkpoint(path=str(folder / "checkpoint-30"), base_model=None, peft_type=None, r=None, target_modules=()),
        Checkpoint(path=str(folder / "checkpoint-200"), base_model=None, peft_type=None, r=None, target_modules=()),
        Checkpoint(
            path=str(folder / "checkpoint-1000"), base_model="org/m", peft_type="LORA", r=8, target_modules=("q", "v")
        ),
    )


def test_batches_are_pinned_unless_the_file_says_no(look):
    assert look().pins_memory
    assert not look({"training": {"dataloader_pin_memory": False}}).pins_memory


@pytest.mark.parametrize(
    ("base_model", "is_local"),
    [
        ("org/model", False),
        ("/models/absent", True),
        ("./absent", True),
        ("../models/absent", True),
        ("models/of/absent", True),
    ],
)
def test_a_path_where_nothing_lies_is_no_hub_id(look, base_model, is_local):
    assert look({"model": {"base_model": base_model}}).is_local == is_local
