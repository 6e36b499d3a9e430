"""`preflight predict` and `evaluate` by several processes: what one process writes, written once."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

from preflight_ocr.harness.cli import preflight
from preflight_ocr.harness.commands.trained.predict import Asked, Record, note, open_journal
from preflight_ocr.harness.training.adapter_files import configure_reading, read_adapter
from tests.support.ranks import PREFLIGHT, launch

pytestmark = pytest.mark.slow


def predict(trained, *arguments):
    words = ["predict", "--adapter", trained.adapter, "--trust", "--max-new-tokens", 6, "--batch", 2]
    return list(map(str, [*words, trained.pages, *arguments]))


def test_pages_that_two_processes_read_are_written_as_one_writes_them(train, tmp_path):
    trained = train("qwen2_vl")
    (trained.pages / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    try:
        ended = launch(["-c", PREFLIGHT, *predict(trained, "-o", tmp_path / "two.jsonl")], tmp_path)
        single = CliRunner().invoke(preflight, predict(trained, "-o", tmp_path / "one.jsonl"))
    finally:
        (trained.pages / "broken.png").unlink()
    assert single.exit_code == 3, single.output
    assert [one.code for one in ended] == [3, 3], ended
    two, one = (re.sub(r"0x[0-9a-f]+", "", (tmp_path / name).read_text("utf-8")) for name in ("two.jsonl", "one.jsonl"))
    assert two == one and two.count("\n") == 13  # but for an address that Pillow names
    assert not list(tmp_path.glob("two.jsonl.*")) and not list(tmp_path.glob(".two*"))
    assert "Written" in ended[0].out and "12 pages" in ended[0].err
    assert ended[1].out == "" and "pages" not in ended[1].err


def test_without_an_output_the_texts_of_all_are_shown_in_the_order_of_the_pages(train, tmp_path):
    trained = train("qwen2_vl")
    ended = launch(["-c", PREFLIGHT, *predict(trained)], tmp_path, size=3)
    single = CliRunner().invoke(preflight, predict(trained))
    assert [one.code for one in ended] == [0, 0, 0], ended
    assert ended[0].out == single.stdout and len(ended[0].out.splitlines()) == 12
    assert ended[1].out == ended[2].out == ""


def test_two_processes_go_on_from_what_one_has_read(train, tmp_path):
    trained, output = train("qwen2_vl"), tmp_path / "two.jsonl"
    adapter = read_adapter(trained.adapter)
    config = configure_reading(adapter, source=None, base=None, trust=True)
    asked = Asked(adapter=adapter.digest(), prompt=config.data.prompt, max_new_tokens=6, dpi=200)
    journal = open_journal(tmp_path / "two.jsonl", asked)
    first = min(map(str, trained.pages.glob("*.png")))
    note(journal, [Record(file=first, page=1, pages=1, text="read before", ended="end", error=None)])
    journal.close()
    ended = launch(["-c", PREFLIGHT, *predict(trained, "-o", output)], tmp_path)
    assert [one.code for one in ended] == [0, 0], ended
    assert "12 pages, 1 of them from the run before" in ended[0].err
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert lines[0]["text"] == "read before"
    assert [line["file"] for line in lines] == sorted(map(str, trained.pages.glob("*.png")))


def test_rows_that_two_processes_measure_give_the_figures_of_one(train, tmp_path):
    trained = train("qwen2_vl")
    words = ["evaluate", str(trained.config), "--adapter", str(trained.adapter), "--trust", "--batch", "2",
             "--allow-overlap"]  # fmt: skip
    ended = launch(["-c", PREFLIGHT, *words, "--json", str(tmp_path / "two.json")], tmp_path)
    single = CliRunner().invoke(preflight, [*words, "--json", str(tmp_path / "one.json")])
    assert [one.code for one in ended] == [single.exit_code, single.exit_code] == [0, 0], (ended, single.output)
    two, one = (json.loads((tmp_path / name).read_text(encoding="utf-8")) for name in ("two.json", "one.json"))
    assert two.pop("created") != one.pop("created")
    assert two.pop("seconds") > 0 and one.pop("seconds") > 0
    assert not list(tmp_path.glob("*.part*"))
    assert two == one and len(two["rows"]) == 12
    assert "CER" in ended[0].out and ended[1].out == ""


def test_what_refuses_all_is_said_by_the_first_alone(train, tmp_path):
    trained = train("qwen2_vl")
    words = ["evaluate", str(trained.config), "--adapter", str(tmp_path / "none"), "--trust"]
    ended = launch(["-c", PREFLIGHT, *words], tmp_path)
    assert [one.code for one in ended] == [2, 2]
    assert "none" in ended[0].err and ended[1].err == ended[1].out == ""
