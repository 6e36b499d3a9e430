"""Reading in training: the error rates are logged, and the best checkpoint is chosen by them."""

from __future__ import annotations

import json

import pytest

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.training import reading_trainer
from preflight_ocr.harness.training.predict import predict
from preflight_ocr.harness.training.train import build_trainer, choose_arguments, load_parts, run_anywhere, train

ASKED = {"metric_for_best_model": "cer", "load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 2}


def test_the_best_checkpoint_is_that_of_the_lowest_error_rate(configure, monkeypatch):
    rates = iter((1.0, 0.5, 0.9))

    def measure(self, model, step):
        self.read_at.add(step)
        return {"cer": next(rates), "wer": 1.0}

    monkeypatch.setattr(reading_trainer.Reading, "measure", measure)
    config = configure(training=ASKED)
    result = train(config)
    state = json.loads((config.training.output_dir / "checkpoint-4" / "trainer_state.json").read_text(encoding="utf-8"))
    assert state["best_metric"] == 0.5 and state["best_model_checkpoint"].endswith("checkpoint-2")
    logged = (config.training.output_dir / "logs" / "history.jsonl").read_text(encoding="utf-8")
    assert logged.count('"eval_cer"') == 3 and result.eval_loss is not None


def test_what_is_measured_in_training_is_what_is_read(configure):
    config = configure(training=ASKED, evaluation={"sample": 2, "max_new_tokens": 4})
    with run_anywhere():
        trainer, _ = build_trainer(config, load_parts(config))
        metrics = trainer.evaluate()
        rows = trainer.reading.rows
        read = predict(trainer.model, trainer.data_collator, rows, max_new_tokens=4)
    edits = [reading_trainer.score_row(row["text"], text) for row, text in zip(rows, read, strict=True)]
    assert len(rows) == 2
    assert metrics["eval_cer"] == sum(one.edits for one in edits) / sum(one.characters for one in edits)
    assert "eval_wer" in metrics and trainer.args.greater_is_better is False


def test_nothing_is_read_in_training_unless_it_is_asked_for(configure):
    assert reading_trainer.count_sample(configure()) == 0
    assert reading_trainer.count_sample(configure(training=ASKED)) == 64


def test_an_error_rate_without_held_out_rows_is_refused(configure):
    with pytest.raises(UserError, match=r"data\.val_path"):
        choose_arguments(configure(training={"metric_for_best_model": "cer"}, data={"val_path": None}))
