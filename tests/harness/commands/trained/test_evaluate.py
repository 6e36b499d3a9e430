"""`preflight evaluate`: base and adapter are measured on the same rows."""

from __future__ import annotations

import json
import shutil

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from preflight_ocr.harness.cli import preflight
from preflight_ocr.harness.commands.trained import evaluate as command
from preflight_ocr.harness.commands.trained.journal import Entry, Journal, JournalError
from preflight_ocr.reports.evaluation import page

MODELS = [
    "qwen2_vl",
    pytest.param("donut", marks=pytest.mark.slow),
    pytest.param("deepseek_ocr", marks=pytest.mark.slow),
    pytest.param("dots_ocr", marks=pytest.mark.slow),
]


def configure(trained, tmp_path, *, pages=None, **sections):
    """The run's configuration with other pages, few tokens and more sections; no row is trained on."""
    document = yaml.safe_load(trained.config.read_text(encoding="utf-8"))
    document["data"] |= {"test_path": str(pages or trained.pages)}
    document["data"].pop("train_path")
    if "subject" in document:
        document["subject"]["path"] = str(trained.config.parent)
    document["evaluation"] = {"max_new_tokens": 6} | sections.pop("evaluation", {})
    path = tmp_path / "evaluate.yaml"
    path.write_text(yaml.safe_dump(document | sections), encoding="utf-8")
    return path


def run(*arguments):
    return CliRunner().invoke(preflight, ["evaluate", "--trust", *map(str, arguments)])


@pytest.mark.parametrize("model", MODELS)
def test_base_and_adapter_are_measured_as_predict_reads_them(model, train, tmp_path):
    trained = train(model)
    path = configure(trained, tmp_path)
    ended = run(path, "--adapter", trained.adapter, "--json", tmp_path / "e.json", "--html", tmp_path / "e.html")
    assert ended.exit_code == 0, ended.output
    found = json.loads((tmp_path / "e.json").read_text(encoding="utf-8"))
    words = [
        "predict",
        "--adapter",
        trained.adapter,
        *trained.loaded,
        "--trust",
        "--max-new-tokens",
        6,
        trained.pages,
        "-o",
        tmp_path / "p",
    ]
    CliRunner().invoke(preflight, list(map(str, words)))
    predicted = [json.loads(line) for line in (tmp_path / "p").read_text(encoding="utf-8").splitlines()]
    assert {row["image"]: row["read"]["adapter"] for row in found["rows"]} == {
        one["file"]: one["text"] for one in predicted
    }
    edits = sum(row["scores"]["adapter"]["edits"] for row in found["rows"])
    characters = sum(len(row["true"]) for row in found["rows"])
    assert found["sides"]["adapter"]["cer"]["value"] == pytest.approx(edits / characters)
    assert any(row["read"]["base"] != row["read"]["adapter"] for row in found["rows"])
    assert {group["by"] for group in found["groups"]} == {"length", "script"}
    shown = (tmp_path / "e.html").read_text(encoding="utf-8")
    assert shown.count("<article") == 12 and shown.count("data:image/jpeg") == 12 and "base" in ended.output


def test_rows_that_cannot_be_read_are_in_no_figure_and_are_said(train, tmp_path):
    trained = train("qwen2_vl")
    pages = shutil.copytree(trained.pages, tmp_path / "pages")
    min(pages.glob("*.png")).write_bytes(b"broken")
    ended = run(configure(trained, tmp_path, pages=pages), "--json", tmp_path / "e.json")
    found = json.loads((tmp_path / "e.json").read_text(encoding="utf-8"))
    assert ended.exit_code == 3 and "Not read, and in no figure: 1 row" in ended.output
    assert found["sides"]["base"]["rows"] == 11 and len(found["failed"]) == 1


def test_an_ended_measurement_goes_on_where_it_stopped(train, tmp_path, monkeypatch):
    trained, read = train("qwen2_vl"), command.read
    path = configure(trained, tmp_path)
    words = (path, "--adapter", trained.adapter, "--batch", 1)
    assert run(*words, "--json", tmp_path / "whole.json").exit_code == 0
    assert sorted(one.name for one in tmp_path.iterdir()) == ["evaluate.yaml", "whole.json"]
    calls: list[int] = []

    def read_and_stop(model, collator, prompts, **given):
        if len(calls) == 3:  # the second window's adapter side
            raise KeyboardInterrupt
        calls.append(len(prompts))
        return read(model, collator, prompts, **given)

    monkeypatch.setattr(command, "read", read_and_stop)
    ended = run(*words, "--json", tmp_path / "e.json")
    assert ended.exit_code == 130 and "e.json.part; the same command goes on from there" in ended.output
    calls.clear()
    ended = run(*words)
    assert ended.exit_code == 130 and "Nothing was kept; give --json or --html" in ended.output
    calls.clear()
    monkeypatch.setattr(
        command, "read", lambda *given, **named: [calls.append(len(given[2])), read(*given, **named)][1]
    )
    ended = run(path, "--batch", 1, "--json", tmp_path / "e.json")
    assert ended.exit_code == 2 and "e.json.part: was begun with another split, model, adapter" in ended.output
    ended = run(*words, "--json", tmp_path / "e.json")
    assert ended.exit_code == 0 and sum(calls) == 2 * (12 - 4), ended.output
    whole, found = (json.loads((tmp_path / name).read_text(encoding="utf-8")) for name in ("whole.json", "e.json"))
    for measured in (whole, found):
        del measured["created"], measured["seconds"]
    assert found == whole and not (tmp_path / "e.json.part").exists()


def test_a_journal_that_was_damaged_is_refused_in_words(tmp_path):
    class Kept(msgspec.Struct):
        text: str

    def open_one():
        return Journal(tmp_path / "out.part", Kept(text="asked"), Kept, depends="question")

    first = open_one()
    first.add([Entry("a", [1], Kept(text="read"))])
    first.close()
    again = open_one()
    assert again.has("a", [1]) and not again.has("a", [2]) and again.find("a") == Kept(text="read")
    again.close()
    with (tmp_path / "out.part").open("ab") as file:
        file.write(b'["b", "no stamp", 3]\n')
    with pytest.raises(JournalError, match="a line that nobody wrote here"):
        open_one()


def test_a_file_that_cannot_be_written_costs_neither_the_figures_nor_the_other(train, tmp_path, monkeypatch):
    trained = train("qwen2_vl")
    path = configure(trained, tmp_path)

    def refuse(evaluation, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(page, "write_json", refuse)
    files = ("--json", tmp_path / "e.json", "--html", tmp_path / "e.html")
    ended = run(path, "--limit", 2, *files)
    assert ended.exit_code == 2 and "e.json: cannot be written: No space left on device" in ended.output
    assert "CER" in ended.output and (tmp_path / "e.html").is_file() and not (tmp_path / "e.json").exists()


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_read(train, tmp_path):
    trained = train("qwen2_vl")
    path = configure(trained, tmp_path)
    ended = run(path, "--html", path / "e.html")
    assert ended.exit_code == 2 and "cannot be written" in ended.output and "CER" not in ended.output


def test_pictures_that_were_trained_on_are_refused_unless_allowed(train, tmp_path):
    trained = train("qwen2_vl")
    path = configure(trained, tmp_path, evaluation={"normalise": ["nfc", "casefold"]})
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    copied = shutil.copytree(trained.pages, tmp_path / "other")
    document["data"]["train_path"] = str(copied)
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    ended = run(path)
    assert ended.exit_code == 2 and "12 of the 12 pictures" in ended.output
    ended = run(path, "--allow-overlap", "--limit", 1)
    assert ended.exit_code == 0 and "after nfc, casefold" in ended.output, ended.output


@pytest.mark.parametrize(
    ("sections", "said"),
    [({"data": {}}, "data.test_path is missing"), ({"evaluation": {"normalise": ["upper"]}}, "evaluation.normalise")],
)
def test_what_cannot_be_measured_is_a_sentence(sections, said, train, tmp_path):
    path = configure(train("qwen2_vl"), tmp_path, **sections)
    ended = run(path)
    assert ended.exit_code == 2 and said in ended.output, ended.output
