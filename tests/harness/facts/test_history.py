from __future__ import annotations

import json
import os

import pytest

from preflight_ocr.harness.facts import Unknown, history


def note(folder, step, logs, memory=1 << 20):
    history.note(folder, step, logs, memory=memory, measured="resident")


def test_what_is_noted_is_read_again(tmp_path):
    history.start(tmp_path)
    note(tmp_path, 10, {"loss": 2.5, "learning_rate": 1e-3})
    note(tmp_path, 20, {"eval_loss": 2.0}, memory=3 << 20)
    run = history.read_history(tmp_path)
    assert run.source == str(tmp_path / "logs" / "history.jsonl")
    assert run.series("loss") == ((10, 2.5),)
    assert run.series("eval_loss") == ((20, 2.0),)
    assert run.memory == ((10, 1 << 20), (20, 3 << 20))


def test_a_new_run_does_not_go_on_from_the_old_ones_curves(tmp_path):
    history.start(tmp_path)
    note(tmp_path, 10, {"loss": 2.5})
    history.start(tmp_path)
    note(tmp_path, 5, {"loss": 3.0})
    assert history.read_history(tmp_path).series("loss") == ((5, 3.0),)


def test_a_resumed_run_keeps_what_came_before_the_checkpoint(tmp_path):
    history.start(tmp_path)
    for step in (10, 20, 30):
        note(tmp_path, step, {"loss": float(step)})
    history.start(tmp_path, resumed_at=20)
    note(tmp_path, 30, {"loss": 1.0})
    assert history.read_history(tmp_path).series("loss") == ((10, 10.0), (20, 20.0), (30, 1.0))


def test_a_loss_that_is_not_finite_is_kept_as_such(tmp_path):
    history.start(tmp_path)
    note(tmp_path, 1, {"loss": float("nan"), "grad_norm": float("inf"), "text": "no number", "flag": True})
    assert history.read_history(tmp_path).entries[0].values == {"loss": None, "grad_norm": None}


def test_a_line_that_was_cut_when_the_run_was_killed_is_left_out(tmp_path):
    history.start(tmp_path)
    note(tmp_path, 1, {"loss": 1.0})
    with (tmp_path / history.PLACE).open("ab") as file:
        file.write(b'{"step":2,"values":{"lo')
    assert history.read_history(tmp_path).series("loss") == ((1, 1.0),)


def test_a_trainer_of_ones_own_is_read_from_its_newest_checkpoint(tmp_path):
    for step, when in ((10, 100), (20, 200)):
        path = tmp_path / f"checkpoint-{step}" / "trainer_state.json"
        path.parent.mkdir()
        logged = [{"step": s, "loss": float(s), "epoch": 1} for s in range(10, step + 1, 10)]
        path.write_text(
            json.dumps({"log_history": [*logged, {"step": step, "eval_loss": float("nan")}]}), encoding="utf-8"
        )
        os.utime(path, (when, when))
    run = history.read_history(tmp_path)
    assert run.series("loss") == ((10, 10.0), (20, 20.0))
    assert run.series("eval_loss") == ((20, None),)
    assert run.memory == ()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"log_history": 7}', '{"log_history": [7]}', '{"log_history": [{}]}', "\x00"]
)
def test_a_state_that_nobody_can_read_is_no_run(tmp_path, text):
    path = tmp_path / "checkpoint-1" / "trainer_state.json"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    assert history.read_history(tmp_path) == history.NO_RUN


def test_no_run_is_no_error(tmp_path):
    assert isinstance(history.read_history(tmp_path / "nowhere"), Unknown)
