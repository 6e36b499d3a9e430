"""Rows in the forms that people keep theirs in: read, seen alike whatever their form, and trained on."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil

import pytest

from preflight_ocr.fixtures.pages import render_pages
from preflight_ocr.fixtures.pages.forms import ASKED, ASKING, FORMS, NEEDS_DATASETS, rewrite
from preflight_ocr.harness.facts import Dataset, Unknown
from preflight_ocr.harness.training.data import DataError, Rows
from preflight_ocr.harness.training.images import open_image
from preflight_ocr.harness.training.train import train
from preflight_ocr.probes.reading.dataset import look_at_dataset

WITHOUT = pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="datasets is not installed")
EVERY = [pytest.param(form, marks=WITHOUT if form in NEEDS_DATASETS else ()) for form in FORMS]
TRAINED = [
    pytest.param(form, marks=[pytest.mark.slow, WITHOUT] if form in NEEDS_DATASETS else pytest.mark.slow)
    for form in FORMS
    if form != "LLaMA-Factory"
]


@pytest.fixture
def folder(tmp_path):
    render_pages(tmp_path / "rows", count=3, seed=5, kind="words")
    return tmp_path / "rows"


def open_page(row):
    return open_image(row.get("image_path", "inside"), content=row.get("page"))


@pytest.mark.parametrize("form", EVERY)
def test_a_row_is_the_same_in_every_form(form, folder):
    before = [*Rows(folder)]
    pages = [open_page(row).tobytes() for row in before]
    after = [*Rows(rewrite(folder, form))]
    assert [row["text"] for row in after] == [row["text"] for row in before]
    assert [open_page(row).tobytes() for row in after] == pages
    assert {row.get("prompt") for row in after} == {ASKED if form in ASKING else None}


@pytest.mark.parametrize("form", EVERY)
def test_a_fault_of_a_row_is_the_same_finding_in_every_form(form, folder, configure):
    rows = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    rows[1]["text"] = " "
    (folder / rows[2]["image_path"]).write_bytes((folder / rows[2]["image_path"]).read_bytes()[:-30])
    (folder / "metadata.json").write_text(json.dumps(rows), encoding="utf-8")
    path = rewrite(folder, form)
    seen = look_at_dataset(configure(data={"train_path": str(path), "val_path": None}), None)
    assert isinstance(seen, Dataset)
    assert [(problem.row, problem.kind) for problem in seen.problems] == [(1, "empty text"), (2, "truncated image")]
    assert (seen.splits[0].rows, seen.splits[0].pictured) == (3, 3)


def run(form, folder, configure):
    config = configure(
        training={"max_steps": 2, "report_to": "none"},
        data={"train_path": str(rewrite(folder, form)), "val_path": None},
    )
    result = train(config)
    assert result.steps == 2 and result.last_loss is not None
    return result


def test_rows_of_llama_factory_are_trained_on(folder, configure):
    run("LLaMA-Factory", folder, configure)


@pytest.mark.parametrize("form", TRAINED)
def test_rows_of_every_form_are_trained_on(form, folder, configure):
    run(form, folder, configure)


def test_the_loss_of_a_row_is_the_same_in_every_form_that_asks_nothing(folder, configure, tmp_path):
    shutil.copytree(folder, tmp_path / "other")
    losses = []
    for place, form in ((folder, "imagefolder with metadata.csv"), (tmp_path / "other", "JSON Lines")):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        losses.append(run(form, place, configure).first_loss)
    assert losses[0] == losses[1]


# ---- damaged files, with their place


def tell(configure, path):
    seen = look_at_dataset(configure(data={"train_path": str(path), "val_path": None}), None)
    assert isinstance(seen, Unknown) and seen.cause == "unreadable file", seen
    with pytest.raises(DataError):
        Rows(path)[0]
    return seen.reason


def test_a_line_that_is_not_utf_8_is_named(folder, configure):
    path = rewrite(folder, "JSON Lines")
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], lines[1].replace(b'"text": "', b'"text": "\xff'), lines[2]]))
    assert f"{path}:2:" in tell(configure, path)


def test_a_line_that_is_no_json_is_named(folder, configure):
    path = rewrite(folder, "ms-swift")
    path.write_text(path.read_text(encoding="utf-8") + '{"query": "a', encoding="utf-8")
    assert f"{path}:4:" in tell(configure, path)


def test_a_line_of_a_csv_with_too_few_cells_is_named(folder, configure):
    path = rewrite(folder, "CSV")
    path.write_text(path.read_text(encoding="utf-8") + "lonely\n", encoding="utf-8")
    said = tell(configure, path)
    assert f"{path}:5: 1 cells, expected 2" in said and "image, transcription" in said


@WITHOUT
def test_a_cut_parquet_file_is_named(folder, configure):
    path = next(rewrite(folder, "parquet").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-200])
    assert str(path) in tell(configure, path)


def test_a_csv_without_a_known_column_of_text_is_named_with_the_nearest(folder, configure):
    path = rewrite(folder, "CSV")
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    path.write_text("image,txt\n" + "".join(f"{row['image']},a\n" for row in rows), encoding="utf-8")
    seen = look_at_dataset(configure(data={"train_path": str(path), "val_path": None}), None)
    assert isinstance(seen, Dataset)
    assert {problem.kind for problem in seen.problems} == {"malformed row"}
    assert "txt is nearest to text" in seen.problems[0].detail
    with pytest.raises(DataError, match="txt is nearest to text"):
        Rows(path)


def test_a_form_that_is_not_known_is_named_with_the_nearest(folder, configure):
    path = folder / "rows.jsonlines"
    path.write_text("{}", encoding="utf-8")
    said = tell(configure, path)
    assert "'.jsonlines' is no form of rows that is known; the nearest is .jsonl" in said


def test_a_folder_of_splits_names_the_folder_that_has_rows(folder, configure):
    said = tell(configure, folder.parent)
    assert f"its folder rows has rows: write {folder}" in said


def test_a_dataset_of_the_hub_that_is_not_in_the_cache_is_said_with_what_to_type(configure):
    seen = look_at_dataset(configure(data={"train_path": "owner/pages", "val_path": None}), None)
    assert isinstance(seen, Unknown)
    assert "hf download --repo-type dataset owner/pages" in seen.reason


def test_a_dataset_of_the_hub_is_taken_from_the_cache(folder, configure, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "datasets--owner--pages"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc", encoding="utf-8")
    rewrite(folder, "imagefolder with metadata.jsonl")
    shutil.copytree(folder, repository / "snapshots" / "abc")
    config = configure(data={"train_path": "owner/pages", "val_path": None})
    assert len(Rows(config.data.train_path)) == 3


# ---- what our own collator cannot make of a row


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"images": ["a.png", "b.png"], "text": "x"}, "2 pictures"),
        ({"messages": [{"role": "user", "content": "<image><image>?"}, {"role": "assistant", "content": "x"}],
          "images": ["a.png"]}, "2 times <image>"),
        ({"messages": [{"role": "assistant", "content": "x"}] * 2, "image": "a.png"}, "2 turns of the assistant"),
        ({"messages": [{"role": "system", "content": "Be."}, {"role": "assistant", "content": "x"}], "image": "a.png"},
         "a turn of the system"),
    ],
)  # fmt: skip
def test_a_row_that_our_collator_would_make_less_of_is_refused_by_name(row, said, tmp_path, configure):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([row]), encoding="utf-8")
    with pytest.raises(DataError, match=f"row 0 has {said}"):
        Rows(path)
    seen = look_at_dataset(configure(data={"train_path": str(path), "val_path": None}), None)
    assert isinstance(seen, Dataset)
    assert said in next(problem.detail for problem in seen.problems if problem.kind == "malformed row")


@WITHOUT
def test_a_collator_of_the_users_gets_the_columns_as_datasets_gives_them(folder):
    path = rewrite(folder, "parquet with questions")
    row = Rows(path, as_written=True)[0]
    assert set(row) == {"image", "question", "answer"}
    assert row["image"].convert("RGB").size


YIELDING = """
import json
from pathlib import Path

from PIL import Image


def rows(config):
    folder = Path({folder!r})
    listed = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    return [{{"image": Image.open(folder / one["image_path"]), "answer": one["text"]}} for one in listed]
"""


def test_rows_as_the_users_code_yields_them_are_trained_on(folder, configure, tmp_path):
    (tmp_path / "yielding_rows.py").write_text(YIELDING.format(folder=str(folder)), encoding="utf-8")
    config = configure(
        subject={"dataset": "yielding_rows:rows", "path": str(tmp_path)},
        data={"train_path": None, "val_path": None},
        training={"max_steps": 2, "report_to": "none"},
    )
    assert train(config).steps == 2
