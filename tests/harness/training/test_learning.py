"""The miniature visibly learns to read. Its command: `pytest -m slow -s tests/harness/training/test_learning.py`."""

from __future__ import annotations

import pytest
import transformers

from preflight_ocr.fixtures.pages import render_pages
from preflight_ocr.harness.training.data import Rows
from preflight_ocr.harness.training.evaluate import evaluate
from preflight_ocr.harness.training.train import build_trainer, load_parts, run_anywhere


@pytest.mark.slow
def test_the_miniature_learns_to_read_latin_and_cyrillic_lines(configure, tmp_path):
    render_pages(tmp_path / "train", count=1600, seed=1, kind="words")
    render_pages(tmp_path / "val", count=48, seed=2, kind="words")
    config = configure(
        lora={
            "r": 64,
            "lora_alpha": 64,
            "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "lm_head"],
        },
        training={
            "per_device_train_batch_size": 8,
            "max_steps": 800,
            "learning_rate": 3e-3,
            "lr_scheduler_type": "cosine",
            "warmup_steps": 40,
            "logging_steps": 10,
            "save_strategy": "no",
            "report_to": "none",
        },
        data={
            "train_path": str(tmp_path / "train"),
            "val_path": str(tmp_path / "val"),
            "preprocessing": {"base_size": 256, "crop_mode": False},
        },
    )
    with run_anywhere():
        transformers.set_seed(config.training.seed)
        parts = load_parts(config)
        rows = Rows(config.data.val_path)
        before = evaluate(parts.model, parts.collator, rows)
        trainer, _ = build_trainer(config, parts)
        trainer.train()
        after = evaluate(parts.model, parts.collator, rows)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}, held-out CER {before.cer:.3f} -> {after.cer:.3f}")
    for script in (after.pairs[0::2], after.pairs[1::2]):
        assert any(read == true for true, read in script)
    assert losses[-1] < 0.2 * losses[0]
    assert after.cer < 0.5 * before.cer
