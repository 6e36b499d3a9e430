"""Two processes on the CPU train what one process trains, write once, and none waits for ever."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from preflight_ocr.fixtures.corpus.models import find_model_obstacle
from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.fixtures.pages import render_pages
from preflight_ocr.harness.facts.history import read_history
from tests.support.ranks import Ended, launch

TRAIN = (
    "import sys, pathlib, torch; torch.set_num_threads(1)\n"
    "from preflight_ocr.harness.config.config import load_config\n"
    "from preflight_ocr.harness.training.train import train\n"
    "result = train(load_config(pathlib.Path(sys.argv[1])))\n"
    "print('score', result.test_score and result.test_score.cer)\n"
)
ALIKE = 2e-5
"""How far gradients may be apart, of the largest of them. Sums of float32 in another order and in batches of other padding
differ by a few units of the last place (1.2e-7 each), through some tens of layers and sums; a rank whose gradients were left
out, or a mean over rows in place of tokens, is off by a tenth and more."""


@pytest.fixture
def open_project(tmp_path: Path) -> Callable[..., Path]:
    """A healthy project of one model that makes one step of plain gradient descent, so that what changed is the gradient."""

    def open_project(model: str, name: str, rows: list[dict[str, Any]], **training: Any) -> Path:
        if obstacle := find_model_obstacle(model):
            pytest.skip(obstacle)
        folder = tmp_path / name
        folder.mkdir()
        path = write_project(folder, (), model=model)
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        pages = tmp_path / "pages"
        if not pages.exists():
            render_pages(pages, count=len(rows), seed=11, kind="words")
            _lay_over(pages / "metadata.json", rows)
        document["training"] = {
            "output_dir": str(folder / "out"), "max_steps": 1, "logging_steps": 1, "learning_rate": 1.0, "optim": "sgd",
            "max_grad_norm": 0.0, "lr_scheduler_type": "constant", "report_to": "none", "disable_tqdm": True,
            "save_steps": 1, **training,
        }  # fmt: skip
        document["lora"]["lora_dropout"] = 0.0
        document["data"] |= {"train_path": str(pages), "val_path": str(pages), "test_path": str(pages)}
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path

    return open_project


def _lay_over(path: Path, changes: list[dict[str, Any]]) -> None:
    """Lay changes over the rows; a key of None is taken away."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    for row, change in zip(rows, changes, strict=True):
        row.update(change)
    kept = [{key: value for key, value in row.items() if value is not None} for row in rows]
    path.write_text(json.dumps(kept), encoding="utf-8")


def run(config: Path, size: int) -> list[Ended]:
    return launch(["-c", TRAIN, str(config)], config.parent, size=size)


def read_adapter(config: Path) -> dict[str, torch.Tensor]:
    return load_file(config.parent / "out" / "adapter" / "adapter_model.safetensors")


def measure_distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference of two adapters, of the largest change that one of them has (B begins at 0)."""
    assert one.keys() == other.keys()
    largest = max(float(value.abs().max()) for name, value in one.items() if "lora_B" in name)
    return max(float((value - other[name]).abs().max()) for name, value in one.items()) / largest


@pytest.mark.slow
def test_two_processes_make_the_step_of_one_and_read_what_one_reads(open_project):
    texts = [{"text": "a"}, {"text": "four words are here"}, {"text": "two words"}, {"text": "x y z x y z"}]
    reading = {"eval_strategy": "steps", "eval_steps": 1, "eval_on_start": True}
    asked = {"rows": texts, **reading}
    together = open_project("qwen2_vl", "two", per_device_train_batch_size=1, **asked)
    alone = open_project("qwen2_vl", "one", per_device_train_batch_size=2, **asked)
    for path in (together, alone):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        document["evaluation"] = {"sample": 4, "max_new_tokens": 6}
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
    ended = run(together, 2)
    assert [one.code for one in ended] == [0, 0], ended
    (single,) = run(alone, 1)
    assert single.code == 0, single

    assert measure_distance(read_adapter(alone), read_adapter(together)) < ALIKE
    # What is read before the step is read with the same weights: equal to the last digit.
    rates = [dict(read_history(path.parent / "out").series("eval_cer"))[0] for path in (alone, together)]
    assert rates[0] == rates[1]
    # Every process has the score of all test rows, and only the first writes.
    assert len({one.out.split("score ")[1] for one in (*ended, single)}) == 1
    assert [step for step, _ in read_history(together.parent / "out").series("loss")] == [1]
    log = (together.parent / "out" / "logs" / "training.log").read_text(encoding="utf-8")
    assert log.count("saved ") == 1 and log.count("step 1: {'loss'") == 1
    assert sorted(path.name for path in (together.parent / "out" / "checkpoint-1").glob("rng_state*")) == [
        "rng_state_0.pth", "rng_state_1.pth",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_mean_of_means_would_not_pass_for_the_mean_over_all_tokens(open_project):
    """What the tolerance of the test above tells apart: each process by its own mean is another gradient."""
    texts = [{"text": "a"}, {"text": "four words are here"}, {"text": "two words"}, {"text": "x y z x y z"}]
    mean = {"average_tokens_across_devices": False, "rows": texts}
    together = open_project("qwen2_vl", "two", per_device_train_batch_size=1, **mean)
    alone = open_project("qwen2_vl", "one", per_device_train_batch_size=2, rows=texts)
    assert [one.code for one in run(together, 2)] == [0, 0]
    assert [one.code for one in run(alone, 1)] == [0]
    assert measure_distance(read_adapter(alone), read_adapter(together)) > 100 * ALIKE


def open_mixed(open_project: Callable[..., Path], **training: Any) -> Path:
    """Two rows, of which one has no picture, for two processes; the vision part is trained too (`qkv` is its own)."""
    mixed = [{}, {"image_path": None}]
    config = open_project("qwen2_vl", "two", rows=mixed, per_device_train_batch_size=1, max_steps=3, **training)
    document = yaml.safe_load(config.read_text(encoding="utf-8"))
    document["lora"]["target_modules"] = ["qkv", "q_proj"]
    del document["data"]["test_path"]
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    return config


@pytest.mark.slow
def test_a_batch_of_text_alone_beside_one_with_a_picture_does_not_hang(open_project):
    config = open_mixed(open_project)
    ended = run(config, 2)
    assert [one.code for one in ended] == [0, 0], ended
    trained = [
        name for name, value in read_adapter(config).items() if "lora_B" in name and float(value.abs().max()) > 0
    ]
    assert any("visual" in name for name in trained) and any("q_proj" in name for name in trained)


@pytest.mark.slow
def test_what_would_hang_is_refused_before_a_step(open_project):
    """With the search for unused weights switched off, the process with the picture waits for the other's gradients."""
    config = open_mixed(open_project, ddp_find_unused_parameters=False)
    ended = run(config, 2)
    assert all(one.code == 1 for one in ended)
    assert "remove training.ddp_find_unused_parameters" in ended[0].err
