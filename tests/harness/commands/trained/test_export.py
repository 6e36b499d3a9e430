"""`preflight export`: what is handed on is what was trained, or nothing is."""

from __future__ import annotations

import json

import pytest
import torch
import yaml
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from preflight_ocr.harness.cli import preflight
from preflight_ocr.harness.commands.trained import export as command
from preflight_ocr.harness.training.adapter_files import read_adapter

MODELS = [
    "qwen2_vl",
    pytest.param("deepseek_ocr", marks=pytest.mark.slow),
    pytest.param("donut", marks=pytest.mark.slow),
    pytest.param("dots_ocr", marks=pytest.mark.slow),
]


def run(trained, output, *arguments):
    words = ["export", "--adapter", trained.adapter, *trained.loaded, "--trust", "-o", output, *arguments]
    return CliRunner().invoke(preflight, list(map(str, words)))


@pytest.mark.parametrize("model", MODELS)
def test_a_merged_model_loads_by_itself_and_computes_what_the_adapter_did(model, train, tmp_path):
    trained = train(model)
    ended = run(trained, tmp_path / "merged", "--merge")
    assert ended.exit_code == 0, ended.output
    assert "Loaded again" in ended.output and "100.0% of the positions" in ended.output
    assert list((tmp_path / "merged").glob("*.safetensors")) and not list(tmp_path.glob(".export-*"))
    names = {name for path in (tmp_path / "merged").glob("*.safetensors") for name in load_file(path)}
    assert names and not any("lora" in name for name in names)
    card = (tmp_path / "merged" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\n") and "library_name: transformers" in card and "rank" in card
    # A base that only the user's loader loads whole is not made whole by merging, which is said in both places.
    for told in (ended.output, card):
        assert ("load it with planted:model" in told) == bool(trained.loaded)


@pytest.mark.parametrize("model", MODELS)
def test_an_exported_adapter_is_read_as_the_one_it_was_made_of(model, train, tmp_path):
    trained = train(model)
    rate = {"value": 0.125, "low": 0.1, "high": 0.2}
    side = {"rows": 9, "cer": rate, "wer": rate, "exact": rate}
    measured = {"split": "test", "normalise": [], "sides": {"adapter": side}}
    (tmp_path / "e.json").write_text(json.dumps(measured), encoding="utf-8")
    ended = run(trained, tmp_path / "handed", "--metrics", tmp_path / "e.json")
    assert ended.exit_code == 0, ended.output
    first, second = (
        load_file(folder / "adapter_model.safetensors") for folder in (trained.adapter, tmp_path / "handed")
    )
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert read_adapter(tmp_path / "handed").settings["r"] == read_adapter(trained.adapter).settings["r"]
    card = (tmp_path / "handed" / "README.md").read_text(encoding="utf-8")
    assert "| adapter | 9 | 0.125 (0.100 to 0.200) |" in card and "library_name: peft" in card


def test_a_merge_that_lost_the_adapter_is_refused_with_the_figure(train, tmp_path, monkeypatch):
    trained = train("qwen2_vl")
    monkeypatch.setattr("peft.PeftModel.merge_and_unload", lambda self, **given: self.unload(), raising=False)
    ended = run(trained, tmp_path / "merged", "--merge")
    assert ended.exit_code == 2 and "not exported: exported logits are" in ended.output, ended.output
    assert not (tmp_path / "merged").exists() and not list(tmp_path.glob(".export-*"))


def test_a_merge_that_no_loader_loads_whole_is_refused(train, tmp_path, monkeypatch):
    """The user's loader loads the base whatever it is asked for, so that it proves nothing of the folder."""
    trained = train("qwen2_vl")
    document = yaml.safe_load(trained.config.read_text(encoding="utf-8"))
    base = document["model"]["base_model"]
    (tmp_path / "stubborn.py").write_text(
        "import msgspec\n"
        "from preflight_ocr.harness.training.model import load_model\n"
        "def load(config):\n"
        f"    model = msgspec.structs.replace(config.model, base_model={base!r})\n"
        "    subject = msgspec.structs.replace(config.subject, model=None)\n"
        "    return load_model(msgspec.structs.replace(config, model=model, subject=subject))\n",
        encoding="utf-8",
    )
    document["subject"] = {"model": "stubborn:load", "path": str(tmp_path)}
    (tmp_path / "project.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    monkeypatch.setattr("peft.PeftModel.merge_and_unload", lambda self, **given: self.unload(), raising=False)
    ended = run(trained, tmp_path / "merged", "--merge", "--config", tmp_path / "project.yaml")
    assert ended.exit_code == 2 and "not exported: exported logits are" in ended.output, ended.output
    assert not (tmp_path / "merged").exists()


def test_a_dtype_that_would_round_the_adapter_away_is_refused():
    same = command.Proof(distance=1e-6, effect=0.5, spread=10.0, agreement=1.0)
    assert same.refuse(torch.float32) is None
    rounded = command.Proof(distance=0.05, effect=0.06, spread=10.0, agreement=1.0)
    assert "round it away" in str(rounded.refuse(torch.bfloat16)) and "0.06" in str(rounded.refuse(torch.bfloat16))
    assert "more than float32 explains" in str(rounded.refuse(torch.float32))
    assert command.Proof(distance=float("nan"), effect=1.0, spread=1.0, agreement=0.0).refuse(torch.float16)


def test_what_vllm_would_refuse_is_said(train):
    adapter, proof = read_adapter(train("qwen2_vl").adapter), command.Proof(distance=0, effect=1, spread=1, agreement=1)
    assert list(command._list_remarks(adapter, proof, merged=False)) == []
    for settings, said in (
        ({"use_dora": True}, "DoRA"), ({"bias": "all"}, "biases"), ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"r": 40}, "--max-lora-rank 64"), ({"r": 1000}, "up to 512"),
    ):  # fmt: skip
        altered = command.msgspec.structs.replace(adapter, settings={**adapter.settings, **settings})
        [remark] = command._list_remarks(altered, proof, merged=False)
        assert said in remark


def test_an_adapter_that_changes_nothing_is_exported_and_said(train, tmp_path):
    trained = train("qwen2_vl")
    folder = tmp_path / "adapter"
    command.shutil.copytree(trained.adapter, folder)
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({name: torch.zeros_like(value) for name, value in weights.items()}, folder / "adapter_model.safetensors")
    words = ["export", "--adapter", folder, "--trust", "-o", tmp_path / "out"]
    ended = CliRunner().invoke(preflight, list(map(str, words)))
    assert ended.exit_code == 0 and "changes no logit" in ended.output, ended.output


def test_a_folder_with_something_in_it_is_left_alone(train, tmp_path):
    (tmp_path / "kept.txt").write_text("mine", encoding="utf-8")
    ended = run(train("qwen2_vl"), tmp_path)
    assert ended.exit_code == 2 and "is not empty" in ended.output and (tmp_path / "kept.txt").is_file()
