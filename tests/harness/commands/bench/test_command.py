"""`preflight bench` from end to end on the CPU, and on the card where there is one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from preflight_ocr.fixtures.corpus.models import find_model_obstacle
from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness import cli
from preflight_ocr.harness.commands.bench import command
from preflight_ocr.harness.commands.bench.command import BenchRefused, bench, describe_machine, read_driver
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.facts import InstalledCard, Unknown

FIRST = ("deepseek_ocr", "dots_ocr", "qwen2_vl")
CARD = InstalledCard(name="NVIDIA L4", capability="8.9", memory_bytes=24 << 30)


def write(tmp_path: Path, name: str, **sections: dict) -> Path:
    if reason := find_model_obstacle(name):
        pytest.skip(reason)
    path = write_project(tmp_path / "project", [], model=name)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    for section, values in sections.items():
        document[section] = {**document.get(section, {}), **values}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def run(*words: object):
    return CliRunner().invoke(cli.preflight, ["bench", *map(str, words)])


@pytest.mark.parametrize("name", [FIRST[0], *(pytest.param(n, marks=pytest.mark.slow) for n in FIRST[1:])])
def test_each_model_is_measured_on_the_cpu(name, tmp_path):
    path = write(tmp_path, name, budget={"vram_gb": 16})
    out = tmp_path / "bench.json"
    ended = run(path, "--batch", "1,2", "--repeats", 2, "--device", "cpu", "--json", out)
    assert ended.exit_code == 0, ended.output
    assert "(cpu)" in ended.output and "not measured: no accelerator" in ended.output
    assert "Highest batch that fits: not known" in ended.output
    benchmarks = json.loads(out.read_text(encoding="utf-8"))["benchmarks"]
    assert [entry["params"]["batch"] for entry in benchmarks] == [1, 1, 2, 2]
    assert all(entry["stats"]["rounds"] == 2 and entry["stats"]["median"] > 0 for entry in benchmarks)
    assert all(entry["extra_info"]["reserved_bytes"] is None for entry in benchmarks)


def test_foreign_code_is_not_measured_without_trust(tmp_path):
    ended = run(write(tmp_path, "deepseek_ocr", model={"trust_remote_code": False}))
    assert ended.exit_code == 2 and "--trust" in ended.output


def test_a_card_that_is_not_there_is_refused_with_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "find_cards", lambda: ())
    ended = run(write(tmp_path, "deepseek_ocr"), "--device", "cuda")
    assert ended.exit_code == 2 and "--device cpu" in ended.output


@pytest.mark.parametrize(("given", "said"), [("1,x", "is not a list of numbers"), ("0,1", "the smallest is 1")])
def test_batch_sizes_are_whole_numbers(tmp_path, given, said):
    ended = run(write(tmp_path, "deepseek_ocr"), "--batch", given)
    assert ended.exit_code == 2 and said in ended.output


def test_what_the_child_raises_is_a_message_and_no_traceback(tmp_path):
    ended = run(write(tmp_path, "deepseek_ocr", lora={"target_modules": ["no_such_module"]}), "--device", "cpu")
    assert ended.exit_code == 2
    assert re.search(r"nothing could be measured: \w+", ended.output) and "Traceback" not in ended.output


def test_a_child_that_dies_costs_only_what_it_had_not_reached(tmp_path):
    """Its collator ends the process at the second batch size, as a crash in foreign code would."""
    path = write(tmp_path, "deepseek_ocr")
    (path.parent / "mine.py").write_text(
        "import os\n"
        "from preflight_ocr.harness.training.model import load_processor\n"
        "from preflight_ocr.harness.training.train import build_own_collator\n\n"
        "class Mine:\n"
        "    def __init__(self, inner):\n        self.inner = inner\n"
        "    def __call__(self, rows):\n"
        "        if len(rows) > 1:\n            os._exit(7)\n"
        "        return self.inner(rows)\n\n"
        "def collator(config, processor, model):\n"
        "    return Mine(build_own_collator(config, model, load_processor(config)))\n",
        encoding="utf-8",
    )
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**document, "subject": {"collator": "mine:collator"}}), encoding="utf-8")
    seen = bench(load_config(path), batches=[1, 2], repeats=2, device="cpu", trust=True)
    assert [point.batch for point in seen.points] == [1]
    assert "the child ended before its end" in seen.notes[0] and "7" in seen.notes[0]


def test_the_machine_is_described_with_the_drivers_card(monkeypatch):
    monkeypatch.setattr(command, "read_driver", lambda: "580.65")
    told = {"name": "NVIDIA L4", "capability": "8.9", "cuda": "12.8", "memory_bytes": 24 << 30}
    machine = describe_machine("cuda", [CARD], told)
    assert (machine.memory_bytes, machine.driver, machine.cuda) == (24 << 30, "580.65", "12.8")
    assert machine.packages["torch"]
    assert describe_machine("cpu", [CARD], {}).driver == ""
    assert describe_machine("cuda", [CARD], {}).name == "NVIDIA L4"


def test_a_driver_that_is_not_there_has_no_version(monkeypatch):
    import pynvml

    def refuse():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", refuse)
    assert read_driver() == ""
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlSystemGetDriverVersion", lambda: b"580.65")
    assert read_driver() == "580.65"


def test_hidden_cards_are_not_there(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert command.find_cards() == ()


def test_without_anything_to_measure_nothing_is_claimed(tmp_path):
    path = write(tmp_path, "deepseek_ocr")
    (path.parent / "train" / "metadata.json").write_text("[]", encoding="utf-8")
    with pytest.raises(BenchRefused, match="nothing could be measured"):
        bench(load_config(path), device="cpu", trust=True)


@pytest.mark.gpu
@pytest.mark.parametrize("name", FIRST)
def test_each_model_is_measured_on_the_card(name, tmp_path):
    path = write(tmp_path, name, budget={"vram_gb": 16})
    seen = bench(load_config(path), batches=[1, 2, 4], repeats=3, device="cuda", trust=True)
    assert [point.ended for point in seen.points] == ["ok"] * 3
    assert all(point.needed and point.allocated <= point.reserved for point in seen.points)
    assert not isinstance(seen.find_highest(None), Unknown)
    assert seen.machine.driver and seen.machine.memory_bytes
