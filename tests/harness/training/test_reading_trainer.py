"""Reading in training: the error rates are logged, and the best checkpoint is chosen by them."""

from __future__ import annotations

import json

import pytest

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.facts.history import read_history
from preflight_ocr.harness.facts.run import find_rates, read_readings, read_record
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


def test_the_sample_is_read_before_the_first_step_and_with_the_weights_that_are_saved(configure):
    """Evaluations fall on no step that is saved: after step 3 of 4."""
    asked = {"eval_strategy": "steps", "eval_steps": 3, "save_strategy": "no", "report_to": "none"}
    config = configure(training=asked, evaluation={"sample": 3, "max_new_tokens": 4})
    with run_anywhere():
        trainer, _ = build_trainer(config, load_parts(config))
        untrained = predict(trainer.model, trainer.data_collator, trainer.reading.rows, max_new_tokens=4)
    result = train(config)
    record, readings = read_record(result.output_dir), read_readings(result.output_dir)
    assert [one.step for one in readings] == [0, 3, 4]
    assert [text.read for text in readings[0].texts] == untrained
    before, after = find_rates(record, readings)
    assert (before.step, after.step) == (0, 4) and before.rows == 3
    run = read_history(result.output_dir)
    assert dict(run.series("eval_cer")) == {one.step: one.cer for one in readings}
    assert dict(run.series("eval_wer")) == {one.step: one.wer for one in readings}
    numbers = [text.number for text in readings[0].texts]
    assert all([text.number for text in one.texts] == numbers for one in readings)


def test_reading_changes_nothing_of_what_is_learnt(configure):
    dropped = {"lora_dropout": 0.1}  # so that every number drawn at random counts
    plain = train(configure(lora=dropped, training={"report_to": "none"}))
    read = train(configure(lora=dropped, training={"report_to": "none"}, evaluation={"sample": 2, "max_new_tokens": 4}))
    assert read.last_loss == plain.last_loss and read.first_loss == plain.first_loss
    assert [one.step for one in read_readings(read.output_dir)] == [0, 4]


def test_the_rate_after_training_is_that_of_the_best_checkpoint_where_it_was_loaded_again(configure, monkeypatch):
    rates = iter((1.0, 0.5, 0.9))
    measured = reading_trainer.Reading.measure

    def measure(self, model, step):
        rate = next(rates)
        monkeypatch.setattr(reading_trainer, "score_row", lambda true, read: Scored(rate))
        return measured(self, model, step)

    class Scored:
        characters = words = 100

        def __init__(self, rate):
            self.edits = self.word_edits = round(100 * rate)

    monkeypatch.setattr(reading_trainer.Reading, "measure", measure)
    result = train(configure(training=ASKED, evaluation={"sample": 2, "max_new_tokens": 2}))
    record = read_record(result.output_dir)
    assert (record.adapter_step, record.steps) == (2, 4)
    assert find_rates(record, read_readings(result.output_dir))[1].cer == 0.5


def test_a_continued_run_keeps_what_was_read_before_its_first_step(configure):
    asked = {"report_to": "none", "max_steps": 2}
    reading = {"sample": 2, "max_new_tokens": 4}
    first = train(configure(training=asked, evaluation=reading))
    begun = read_readings(first.output_dir)[0]
    again = train(configure(training={**asked, "max_steps": 4, "resume_from_checkpoint": True}, evaluation=reading))
    readings = read_readings(again.output_dir)
    assert [one.step for one in readings] == [0, 2, 4] and readings[0] == begun
    record = read_record(again.output_dir)
    assert record.resumed_from.endswith("checkpoint-2")
    assert find_rates(record, readings)[0] == begun
