"""However a run ends, its record says how."""

from __future__ import annotations

import logging
import time
from types import SimpleNamespace

import pytest

from preflight_ocr.harness.facts.run import read_record
from preflight_ocr.harness.training import record as recording
from preflight_ocr.harness.training.record import RunLog, find_adapter_step
from preflight_ocr.harness.training.stopping import TrainingStopped
from preflight_ocr.harness.training.train import train
from tests.support.clearances import clear


@pytest.fixture
def open_log(configure):
    def open_log(*, steps=3, planned=8):
        history = [{"loss": 2.0, "step": 1}, {"eval_loss": 1.5, "step": 2}, {"loss": 1.0, "step": 3}]
        state = SimpleNamespace(global_step=steps, max_steps=planned, log_history=history)
        began = time.monotonic()
        return RunLog(
            configure(),
            SimpleNamespace(state=state),
            clearance=None,
            resumed_from=None,
            began=began,
            unread="",
            is_declared=True,
        )

    return open_log


def test_a_run_that_is_going_on_is_on_record_without_an_end(open_log):
    log = open_log()
    with log:
        begun = read_record(log.directory)
        assert begun.ending == "open" and begun.ended is None
    assert read_record(log.directory).ended >= begun.began


@pytest.mark.parametrize(
    ("error", "ending", "said"),
    [
        (RuntimeError("CUDA out of memory\nTried"), "failed", r"RuntimeError: CUDA out of memory\nTried"),
        (TrainingStopped(2, 3, None), "stopped", "stopped by SIGINT after step 3"),
        (KeyboardInterrupt(), "stopped", "stopped at once, without a checkpoint of its own"),
    ],
)
def test_what_ended_a_run_is_on_record_and_is_raised(open_log, error, ending, said):
    log = open_log()
    with pytest.raises(type(error)), log:
        raise error
    found = read_record(log.directory)
    assert (found.ending, found.said) == (ending, said)
    assert (found.steps, found.planned, found.adapter) == (3, 8, None)
    assert (found.first_loss, found.last_loss, found.eval_loss) == (2.0, 1.0, 1.5)


def test_a_run_with_fewer_steps_than_planned_ended_early(open_log):
    for steps, ending in ((3, "early"), (8, "finished")):
        log = open_log(steps=steps)
        with log:
            pass
        assert read_record(log.directory).ending == ending


def test_a_record_that_cannot_be_written_does_not_hide_what_ended_the_run(open_log, monkeypatch, caplog):
    log = open_log()

    def refuse(directory, record):
        raise OSError(28, "No space left on device")

    with pytest.raises(RuntimeError, match="the cause"), caplog.at_level(logging.WARNING), log:
        monkeypatch.setattr(recording, "write_record", refuse)
        raise RuntimeError("the cause")
    assert "No space left on device" in caplog.text


@pytest.mark.parametrize(
    ("best", "loads", "step"),
    [("out/checkpoint-20", True, 20), ("out/checkpoint-20", False, 60), (None, True, 60), ("out/mine", True, 60)],
)
def test_the_step_of_the_weights_is_that_of_the_checkpoint_that_was_loaded_again(best, loads, step):
    trainer = SimpleNamespace(
        state=SimpleNamespace(global_step=60, best_model_checkpoint=best),
        args=SimpleNamespace(load_best_model_at_end=loads),
    )
    assert find_adapter_step(trainer) == step


def test_a_whole_run_is_on_record_with_its_clearance_and_versions(configure, pages):
    config = configure(training={"report_to": "none"}, data={"test_path": str(pages / "val")})
    result = train(config, clearance=clear(config, facts_digest="abc"))
    found = read_record(result.output_dir)
    assert (found.ending, found.steps, found.adapter_step) == ("finished", 4, 4)
    assert found.clearance == "abc" and found.cleared is not None
    assert found.adapter == str(result.adapter_dir) and set(found.versions) >= {"torch", "transformers", "peft"}
    assert found.test_cer == result.test_score.cer and found.test_rows == 4
    assert found.unread == "evaluation.sample would have held-out rows read before, in and after training"
    assert found.seconds > 0 and found.last_loss == result.last_loss
