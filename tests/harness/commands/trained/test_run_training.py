"""`run-training` from check to last line on three families, and the command that its last line names."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from preflight_ocr.fixtures.corpus.models import find_model_obstacle
from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.fixtures.pages import render_pages
from preflight_ocr.harness.facts.run import find_rates, read_readings, read_record
from tests.support.places import ROOT

pytestmark = pytest.mark.slow


def type_command(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """`run-training ...` or `preflight ...` as it is typed in `folder`."""
    name = words[0].replace("-", "_")
    program = f"from preflight_ocr.harness.cli import {name}; {name}()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", program, *words[1:]]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("model", ["deepseek_ocr", "dots_ocr", "qwen2_vl"])
def test_a_run_ends_with_its_page_and_with_a_command_that_works(model, tmp_path):
    if obstacle := find_model_obstacle(model):
        pytest.skip(obstacle)
    render_pages(tmp_path / "train", count=8, seed=3, kind="words")
    render_pages(tmp_path / "val", count=4, seed=4, kind="words")
    source = write_project(tmp_path / "project", (), model=model)
    document = yaml.safe_load(source.read_text(encoding="utf-8"))
    for name in ("eval_steps", "evaluation_strategy", "save_steps"):
        document["training"].pop(name, None)
    document["training"] |= {
        "output_dir": str(tmp_path / "out"), "max_steps": 2, "logging_steps": 1, "eval_strategy": "steps", "eval_steps": 1,
        "disable_tqdm": True,
    }  # fmt: skip
    document["data"] |= {"train_path": str(tmp_path / "train"), "val_path": str(tmp_path / "val")}
    document["data"].pop("test_path", None)
    document["evaluation"] = {"sample": 3, "max_new_tokens": 6}
    source.write_text(yaml.safe_dump(document), encoding="utf-8")

    words = ["run-training", "--config", str(source), "--trust", "--html", str(tmp_path / "run.html")]
    ended = type_command(words, tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    record, readings = read_record(tmp_path / "out"), read_readings(tmp_path / "out")
    assert (record.ending, record.steps) == ("finished", 2) and record.clearance
    before, after = find_rates(record, readings)
    assert [one.step for one in readings] == [0, 1, 2] and (before.rows, after.rows) == (3, 3)

    last = ended.stdout.splitlines()[-1]
    assert last.startswith("Adapter: out/adapter, CER ") and f"-> {after.cer:.3f} on 3 held-out rows" in last
    page = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert f"Trained 2 steps: CER {before.cer:.3f} before, {after.cer:.3f} after" in page
    assert record.clearance in page and "Read over time" in page and 'href="./run-evaluation.html"' in page

    ended = type_command(shlex.split(last.partition("Next: ")[2]), tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (tmp_path / "run-evaluation.html").is_file()
