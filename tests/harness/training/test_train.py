from __future__ import annotations

import json
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file

from preflight_ocr.harness.config import compat
from preflight_ocr.harness.facts.history import read_history
from preflight_ocr.harness.training.adapter import AdapterError, attach
from preflight_ocr.harness.training.checkpoints import CheckpointError
from preflight_ocr.harness.training.data import DataError, Rows
from preflight_ocr.harness.training.evaluate import evaluate, measure_cer
from preflight_ocr.harness.training.model import LoadError, find_dtype, load_model, load_processor
from preflight_ocr.harness.training.predict import decode_greedily, predict
from preflight_ocr.harness.training.train import (
    TrainingError,
    build_own_collator,
    choose_arguments,
    recognise,
    record_history,
    run_anywhere,
    train,
)
from tests.support.clearances import clear


def test_a_run_saves_everything_needed_to_use_and_to_trace_it(configure):
    config = configure(training={"report_to": "tensorboard"})
    clearance = clear(config, facts_digest="abc")
    result = train(config, clearance=clearance)
    assert result.steps == 4
    assert result.unused_arguments == ()
    names = {path.name for path in result.adapter_dir.iterdir()}
    assert names >= {
        "adapter_model.safetensors",
        "adapter_config.json",
        "tokenizer.json",
        "config.yaml",
        "preflight.json",
    }
    assert json.loads((result.adapter_dir / "preflight.json").read_text(encoding="utf-8"))["facts_digest"] == "abc"
    weights = load_file(result.adapter_dir / "adapter_model.safetensors")
    assert any(value.abs().sum() > 0 for name, value in weights.items() if "lora_B" in name)
    assert "step 4" in result.log_file.read_text(encoding="utf-8")
    assert list((result.output_dir / "logs").rglob("events.out.tfevents*"))
    assert {path.name for path in result.output_dir.glob("checkpoint-*")} == {"checkpoint-2", "checkpoint-4"}


def test_a_run_leaves_its_losses_rates_and_memory_to_be_drawn(configure):
    config = configure(training={"report_to": "none", "logging_steps": 1})
    result = train(config)
    run = read_history(result.output_dir)
    assert [step for step, _ in run.series("loss")] == [1, 2, 3, 4]
    assert run.series("loss")[-1][1] == pytest.approx(result.last_loss, abs=1e-4)
    assert len(run.series("learning_rate")) == 4
    assert all(50 << 20 < size < 1 << 40 for _, size in run.memory)
    assert len(run.memory) == len(run.entries)


def test_a_trainer_that_takes_no_callbacks_is_left_alone(tmp_path, caplog):
    with caplog.at_level("WARNING", logger="preflight_ocr.harness.training"):
        record_history(object(), tmp_path)
    assert "leaves no history" in caplog.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="with an accelerator nothing is redirected")
def test_a_hard_coded_accelerator_does_not_stop_a_run_and_is_reported(configure):
    result = train(configure(training={"max_steps": 1, "report_to": "none"}))
    (place,) = result.redirects
    assert place.file.endswith("modeling_deepseekocr.py")
    assert ".cuda()" in place.code


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(configure):
    whole = train(configure(training={"report_to": "none"}))
    weights = load_file(whole.adapter_dir / "adapter_model.safetensors")
    shutil.rmtree(whole.output_dir / "checkpoint-4")
    resumed = train(configure(training={"resume_from_checkpoint": True, "report_to": "none"}))
    assert resumed.resumed_from is not None and resumed.resumed_from.name == "checkpoint-2"
    assert resumed.steps == 4
    assert [step for step, _ in read_history(resumed.output_dir).series("loss")] == [1, 2, 3, 4]
    again = load_file(resumed.adapter_dir / "adapter_model.safetensors")
    assert all(torch.equal(again[name], value) for name, value in weights.items())


def test_resuming_does_not_take_a_checkpoint_of_another_adapter(configure):
    first = train(configure(training={"max_steps": 2, "report_to": "none"}))
    fresh = train(configure(lora={"r": 8}, training={"resume_from_checkpoint": True, "report_to": "none"}))
    assert fresh.resumed_from is None
    path = str(first.output_dir / "checkpoint-2")
    with pytest.raises(CheckpointError, match=r"lora\.r is"):
        train(configure(lora={"r": 16}, training={"resume_from_checkpoint": path, "report_to": "none"}))
    with pytest.raises(CheckpointError, match="no such directory"):
        train(configure(training={"resume_from_checkpoint": "nowhere", "report_to": "none"}))


def test_training_stops_early_when_nothing_improves(configure):
    config = configure(
        training={"max_steps": 10, "eval_steps": 1, "evaluation_strategy": "steps", "report_to": "none"},
        early_stopping={"patience": 2, "threshold": 100.0},
    )
    result = train(config)
    assert result.stopped_early
    assert result.steps == 3
    assert choose_arguments(config)["load_best_model_at_end"] is True


def test_the_loss_falls_on_a_repeated_handful_of_rows(configure):
    arguments = {"max_steps": 40, "learning_rate": 5e-3, "save_strategy": "no", "report_to": "none"}
    result = train(configure(lora={"r": 16, "lora_alpha": 32}, training=arguments))
    assert result.first_loss is not None and result.last_loss is not None
    assert result.last_loss < 0.7 * result.first_loss


def test_gradient_checkpointing_gives_the_same_losses(configure):
    plain = train(configure(training={"report_to": "none"}))
    saving = train(configure(training={"gradient_checkpointing": True, "report_to": "none"}))
    assert saving.last_loss == pytest.approx(plain.last_loss, rel=1e-3)


def test_the_users_own_parts_replace_ours(configure, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from preflight_ocr.harness.training.adapter import describe_adapter\n"
        "from preflight_ocr.harness.training.train import build_own_collator\n"
        "import peft\n"
        "CALLS = []\n"
        "def adapt(config, model):\n"
        "    CALLS.append('peft')\n"
        "    return peft.get_peft_model(model, describe_adapter(config))\n",
        encoding="utf-8",
    )
    train(configure(subject={"peft": "mine:adapt"}, training={"max_steps": 1, "report_to": "none"}))
    import mine

    assert mine.CALLS == ["peft"]


@pytest.mark.parametrize(
    ("files", "subject"),
    [
        ({"modeling.py": ""}, {}),
        ({"config.json": '{"auto_map": {"AutoModel": "elsewhere--model.Model"}}'}, {}),
        ({"config.json": "{}"}, {"collator": "mine:collate"}),
    ],
)
def test_code_that_nobody_trusted_is_not_run_by_python_either(configure, tmp_path, files, subject):
    """`train` asks by itself: there need be no command line in front of it, and no clearance."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    base = str(folder)
    config = configure(model={"base_model": base, "trust_remote_code": False}, subject=subject)
    with pytest.raises(TrainingError, match="trust_remote_code: true"):
        train(config)
    assert not config.training.output_dir.exists()


def test_a_clearance_that_no_longer_holds_is_refused(configure):
    config = configure()
    clearance = clear(config, facts_digest="abc")
    changed = configure(lora={"r": 2})
    with pytest.raises(TrainingError, match="configuration"):
        train(changed, clearance=clearance)
    assert not changed.training.output_dir.exists()


def test_test_rows_are_read_at_the_end_and_images_are_opened_in_workers(configure, pages):
    arguments = {"max_steps": 1, "report_to": "none", "dataloader_num_workers": 2}
    result = train(configure(training=arguments, data={"test_path": str(pages / "val")}))
    assert result.test_score is not None and result.test_score.rows == 4


def test_remote_code_is_not_run_without_trust(configure):
    with pytest.raises(LoadError, match="trust_remote_code: true"):
        load_model(configure(model={"trust_remote_code": False}))


def test_a_processor_without_code_is_a_tokenizer_and_says_why(configure):
    loaded = load_processor(configure())
    assert loaded.kind == "tokenizer"
    assert loaded.reason is not None and "DeepseekVLV2Processor" in loaded.reason


def test_reading_stops_at_the_end_token_and_is_scored(configure):
    config = configure()
    with run_anywhere():
        model = load_model(config)
        collator = build_own_collator(config, model, load_processor(config))
        rows = Rows(config.data.val_path)
        together = predict(model, collator, [rows[index] for index in range(3)], max_new_tokens=5)
        alone = [text for index in range(3) for text in predict(model, collator, [rows[index]], max_new_tokens=5)]
        score = evaluate(model, collator, rows, limit=2)
        batch = collator.prompts([rows[index] for index in range(3)])
        by_loop = decode_greedily(model.eval(), batch, collator=collator, max_new_tokens=5)
    assert together == alone
    assert together == [collator.tokenizer.decode(tokens, skip_special_tokens=True) for tokens in by_loop]
    assert score.rows == 2 and score.cer > 0


def test_cer_counts_edits_over_true_characters():
    assert measure_cer(["дом", "abcd"], ["дым", "abcd"]) == pytest.approx(1 / 7)
    assert measure_cer(["", "ab"], ["x", "ab"]) == pytest.approx(1 / 2)


def test_augmented_rows_differ_from_epoch_to_epoch_and_not_from_run_to_run(pages):
    rows = Rows(pages / "train", augmented=True)
    torch.manual_seed(0)
    first, second = rows[0]["augmentation_seed"], rows[0]["augmentation_seed"]
    torch.manual_seed(0)
    assert first != second
    assert rows[0]["augmentation_seed"] == first
    assert "augmentation_seed" not in Rows(pages / "train")[0]


@pytest.mark.parametrize("content", ["", "[]", "{}", '[{"image_path": "a.png"}]', '[{"image_path": 3, "text": "a"}]'])
def test_metadata_of_another_shape_is_refused(tmp_path, content):
    (tmp_path / "metadata.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"metadata\.json"):
        Rows(tmp_path)


def test_early_stopping_without_rows_to_evaluate_is_refused(configure):
    with pytest.raises(TrainingError, match=r"data\.val_path"):
        choose_arguments(configure(data={"val_path": None}, early_stopping={"patience": 1}))


def test_arguments_that_transformers_refuses_are_an_error_of_the_configuration(configure):
    config = configure(training={"max_steps": 1, "report_to": "none", "eval_strategy": "sometimes"})
    with pytest.raises(TrainingError, match="sometimes"):
        train(config)


def test_a_trainer_of_the_users_needs_only_to_train(configure, tmp_path):
    source = (
        "class Script:\n"
        "    def train(self): self.trained = True\n"
        "def make(config, processor, model, collator, train_rows, val_rows):\n"
        "    assert set(collator([train_rows[0]])) >= {'input_ids', 'labels'}\n"
        "    return Script()\n"
    )
    (tmp_path / "script.py").write_text(source, encoding="utf-8")
    result = train(configure(subject={"trainer": "script:make"}))
    assert result.steps == 0 and result.adapter_dir.is_dir()


def test_every_documented_argument_has_a_place_in_the_installed_transformers(configure):
    config = configure(training={"evaluation_strategy": "steps", "warmup_ratio": 0.1, "gradient_checkpointing": True})
    accepted = compat.accepted_names(transformers.TrainingArguments.__init__)
    arguments, unused = compat.fit_training_arguments(choose_arguments(config), accepted)
    assert unused == ()
    built = transformers.TrainingArguments(**arguments)
    assert built.eval_strategy == "steps"
    assert built.get_warmup_steps(100) == 10
    assert built.remove_unused_columns is False


def test_targets_that_match_nothing_are_refused(configure):
    config = configure(lora={"target_modules": ["no_such_layer"]})
    with pytest.raises((AdapterError, ValueError), match="no_such_layer"):
        attach(load_model(config), config)


def test_the_family_of_the_miniature_is_found_by_its_forward(configure):
    assert recognise(load_model(configure())).name == "deepseek_ocr"


def test_dtypes_are_read_under_their_usual_names():
    assert find_dtype("torch.bfloat16") is find_dtype("bf16") is torch.bfloat16
    assert find_dtype("auto") == "auto"
    with pytest.raises(LoadError, match="expected float32"):
        find_dtype("float33")
