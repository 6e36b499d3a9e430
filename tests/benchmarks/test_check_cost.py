"""What a full check costs, held against what a careful user would do anyway: start the training and see one step."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest

from preflight_ocr.fixtures.corpus.plant import write_project
from tests.support.places import ROOT

RUNS = 3
MOST = 4.0
MOST_AGAIN = 0.5

CHECK = "from preflight_ocr.harness.cli import preflight; preflight()"

IMPORTS = "import torch, transformers, peft; from transformers import AutoModel, Trainer"

# Trainer and PEFT as anybody writes them, with our collator: what every dry run of this model has to pay for.
DRY_RUN = """
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModel, Trainer, TrainingArguments

from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.training.model import load_processor
from preflight_ocr.harness.training.train import build_own_collator
from preflight_ocr.probes.workbench.assembly import read_rows
from preflight_ocr.harness.training.redirects import redirect_cuda

config = load_config(Path(sys.argv[1]))
model = AutoModel.from_pretrained(config.model.base_model, trust_remote_code=True, attn_implementation="eager")
collator = build_own_collator(config, model, load_processor(config))
lora = LoraConfig(r=8, lora_alpha=16, task_type="CAUSAL_LM", target_modules=list(config.lora.target_modules))
model = get_peft_model(model, lora)
arguments = TrainingArguments(
    output_dir=sys.argv[2], max_steps=1, per_device_train_batch_size=2, report_to="none", save_strategy="no",
    use_cpu=True, remove_unused_columns=False, disable_tqdm=True,
)
rows = list(read_rows(config.data.train_path))
with redirect_cuda():
    ended = Trainer(model=model, args=arguments, data_collator=collator, train_dataset=rows).train()
assert ended.global_step == 1
"""


@pytest.fixture
def measure(tmp_path: Path):
    project = write_project(tmp_path / "project", [])
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "LOCALAPPDATA": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }

    def run(code: str, *words: str) -> float:
        started = time.perf_counter()
        words = (sys.executable, "-c", code, *words)
        ended = subprocess.run(words, check=False, env=environment, cwd=tmp_path, capture_output=True, encoding="utf-8")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return time.perf_counter() - started

    def check(*words: str) -> float:
        return run(CHECK, "check", str(project), *words)

    return check, lambda: run(DRY_RUN, str(project), str(tmp_path / "out")), lambda: run(IMPORTS)


@pytest.mark.slow
def test_a_full_check_costs_at_most_four_dry_runs(measure):
    """Other work on the machine slows both alike, because they take turns; the first pair fills caches."""
    check, dry_run, _ = measure
    check("--fresh"), dry_run()
    pairs = [(check("--fresh"), dry_run()) for _ in range(RUNS)]
    checks, dry_runs = zip(*pairs, strict=True)
    ratio = median(checks) / median(dry_runs)
    print(f"check {median(checks):.2f} s, dry run {median(dry_runs):.2f} s, ratio {ratio:.2f}")
    assert ratio <= MOST, f"check took {checks}, dry run {dry_runs}: {ratio:.2f} times as long"


@pytest.mark.slow
def test_a_second_check_costs_less_than_half_a_dry_run_and_than_importing_the_libraries(measure):
    """Nothing changed: files are read and digested, and no child is started."""
    check, dry_run, imports = measure
    check(), dry_run(), imports()
    again, dry_runs, imported = zip(*[(check(), dry_run(), imports()) for _ in range(RUNS)], strict=True)
    ratios = median(again) / median(dry_runs), median(again) / median(imported)
    print(f"second check {median(again):.2f} s, of a dry run {ratios[0]:.2f}, of the imports {ratios[1]:.2f}")
    assert ratios[0] <= MOST_AGAIN, (again, dry_runs)
    assert ratios[1] <= 1, (again, imported)
