"""The last line of a run: the adapter, its error rate, the next command."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import msgspec
import pytest

from preflight_ocr.harness.cli.concluding import conclude
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.facts.run import note_reading, write_record
from tests.support.reports import make_history, make_reading


@pytest.fixture
def leave(tmp_path, monkeypatch, capsys):
    """The line that is printed for a run with this record and these readings."""
    monkeypatch.chdir(tmp_path)

    def leave(*steps, data=("train_path", "val_path"), trust=False, html=None, subject=None, **changes):
        document = {
            "model": {"base_model": "somebody/model", "trust_remote_code": trust},
            "training": {"output_dir": "my out"},
            "data": {key: key for key in data},
            "subject": subject or {},
        }
        Path("project.yaml").write_text(json.dumps(document), encoding="utf-8")
        config = load_config(Path("project.yaml"))
        adapter = str(config.training.output_dir / "adapter")
        record = msgspec.structs.replace(make_history().record, **{"adapter": adapter, **changes})
        write_record(config.training.output_dir, record)
        for step in steps:
            note_reading(config.training.output_dir, make_reading(step))
        conclude(config, html_path=html)
        return capsys.readouterr().out

    return leave


def test_it_names_adapter_both_rates_and_the_command_that_measures_more(leave):
    line = leave(0, 60, html=Path("r.html"))
    assert line == (
        "Adapter: my out/adapter, CER 1.000 -> 0.000 on 64 held-out rows. Next: preflight evaluate project.yaml "
        "--adapter 'my out/adapter' --split val --html r-evaluation.html\n"
    )


def test_rates_that_the_rows_do_not_tell_apart_are_told_as_that(leave):
    assert "CER 1.000 -> 1.000 on 64 held-out rows, not told apart by them. Next" in leave(0, adapter_step=0)


def test_test_rows_are_what_is_measured_next_where_there_are_some(leave):
    line = leave(60, data=("train_path", "val_path", "test_path"), trust=True)
    assert "CER 0.000 on 64 held-out rows" in line and "->" not in line
    assert "--split" not in line and " --trust" in line
    words = shlex.split(line.partition("Next: ")[2])
    assert words[words.index("--html") + 1] == "my out/evaluation.html"


def test_what_was_not_read_is_not_measured(leave):
    line = leave(unread="evaluation.sample would have held-out rows read", data=("train_path",))
    assert "CER not measured (evaluation.sample would" in line
    assert "Next: preflight predict --adapter 'my out/adapter' PAGES -o read.jsonl" in line


def test_a_model_that_a_loader_of_the_users_loads_is_read_with_by_its_configuration(leave):
    line = leave(data=("train_path",), subject={"model": "mine:load"})
    assert "preflight predict --adapter 'my out/adapter' --config project.yaml PAGES" in line


def test_a_rate_of_test_rows_is_told_where_nothing_was_read_in_training(leave):
    assert "CER 0.250 on 9 test rows" in leave(test_cer=0.25, test_rows=9)


def test_a_model_of_no_declared_family_is_not_sent_to_commands_that_cannot_read_with_it(leave):
    line = leave(is_declared=False)
    assert "peft.PeftModel.from_pretrained" in line and "preflight evaluate" not in line


def test_without_an_adapter_there_is_no_line(leave):
    assert leave(adapter=None) == ""
