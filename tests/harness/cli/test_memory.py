"""`preflight memory`: options, words and exit codes."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.cli import preflight

TOTAL = 6_672_212_480


def run(*arguments):
    return CliRunner().invoke(preflight, ["memory", *map(str, arguments)])


@pytest.fixture
def files(tmp_path):
    """A directory with JSON files only: a configuration that names code, and the index of its weights."""
    folder = tmp_path / "model"
    folder.mkdir()
    config = {"model_type": "own", "auto_map": {"AutoModel": "modeling.Model"}, "torch_dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    index = {"metadata": {"total_size": TOTAL}, "weight_map": {"lm_head.weight": "model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def test_json_files_alone_give_the_weight_part_and_say_what_cannot_be_known(files, tmp_path):
    ended = run(files, "--json", tmp_path / "memory.json")
    assert ended.exit_code == 0, ended.output
    assert "6,672,212,480 bytes" in ended.output and "3,336,106,240" in ended.output
    shown = " ".join(ended.output.split())  # where a line ends depends on how long the path is
    assert "none of it is in the directory" in shown and "names and no shapes" in shown
    written = json.loads((tmp_path / "memory.json").read_text(encoding="utf-8"))
    assert written["weight_bytes"] == TOTAL and written["peak"] is None


@pytest.mark.parametrize(("budget", "code"), [(4, 12), (40, 3)])
def test_weights_over_the_budget_are_enough_and_an_unknown_step_is_no_yes(files, tmp_path, budget, code):
    document = {"model": {"base_model": str(files)}, "budget": {"vram_gb": budget}}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert run(path).exit_code == code


def test_foreign_code_does_not_run_without_trust(files):
    (files / "modeling.py").write_text("raise SystemExit('it ran')", encoding="utf-8")
    ended = run(files)
    assert ended.exit_code == 0 and "--trust" in ended.output and "it ran" not in ended.output


@pytest.mark.slow
def test_a_project_is_held_against_its_budget_written_and_drawn(tmp_path):
    path = write_project(tmp_path / "project", [], model="deepseek_ocr")
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["budget"] = {"vram_gb": 1}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    ended = run(path, "--json", tmp_path / "memory.json", "--plot", tmp_path / "memory.svg")
    assert ended.exit_code == 0, ended.output
    assert "It fits into the budget of 1.00 GiB" in ended.output
    written = json.loads((tmp_path / "memory.json").read_text(encoding="utf-8"))
    assert written["needed"] == sum(written["peak"][name] for name in ("segments", "libraries", "context"))
    assert (tmp_path / "memory.svg").read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nowhere.yaml"], "nowhere.yaml"), ([".", "--plot", "memory.pdf"], ".svg or .png"), (["."], "config.json")],
)
def test_what_the_user_has_to_put_right_is_a_refusal(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = run(*arguments)
    assert ended.exit_code == 2 and message in ended.output and "Traceback" not in ended.output
