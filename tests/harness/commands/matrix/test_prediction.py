"""What reading says of a cell, and when running agrees with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preflight_ocr.harness.commands.matrix.cells import make_cell
from preflight_ocr.harness.commands.matrix.prediction import compare, predict, predict_names
from preflight_ocr.harness.commands.matrix.records import Breach, ModelRecord, Prediction
from preflight_ocr.harness.config.config import build_config
from preflight_ocr.harness.facts import Site

FITS = Prediction(verdict="fits")
FAILS = Prediction(verdict="fails", reason="transformers has no X", place="modeling.py:3")
BREACH = Breach(code="LRN007", name="misaligned_loss", severity="BLOCKER", summary="the loss is shifted twice")
REMARK = Breach(code="SEC002", name="suspicious_code", severity="NOTE", summary="the code evaluates text")
HERE = Site(file="recipe.py", line=1, code="", kind="", runs=None)


def record(ending, prediction, *, breaches=(), reason="", is_without_class=False):
    return ModelRecord(
        model="m",
        shown="M",
        ending=ending,
        reason=reason,
        breaches=breaches,
        is_without_class=is_without_class,
        prediction=prediction,
    )


@pytest.mark.parametrize(
    ("found", "agrees"),
    [
        (record("clear", FITS), True),
        (record("clear", FITS, breaches=(REMARK,)), True),
        (record("refused", FAILS, breaches=(BREACH,)), True),
        (record("clear", FAILS, breaches=(BREACH,)), True),
        (record("absent", FAILS, is_without_class=True), True),
        (record("refused", FITS, breaches=(BREACH,)), False),
        (record("clear", FITS, breaches=(BREACH,)), False),
        (record("clear", FAILS), False),
        (record("absent", FITS, is_without_class=True), False),
        (record("absent", FITS, reason="needs torchvision"), None),
        (record("unjudged", FITS, reason="no row"), None),
        (record("failed", FAILS, reason="no sandbox"), None),
        (record("clear", Prediction(verdict="unknown", reason="not indexed")), None),
        (record("clear", None), None),
    ],
)
def test_running_agrees_where_it_ends_as_reading_said(found, agrees):
    compared = compare(found)
    assert compared.agrees is agrees
    assert bool(compared.explanation) == (agrees is False or (found.ending == "absent" and agrees is None))


def test_what_runs_otherwise_than_it_reads_is_explained_by_the_first_finding():
    explained = compare(record("refused", FITS, breaches=(BREACH,))).explanation
    assert explained.startswith("LRN007 misaligned_loss is behaviour")
    assert explained.endswith(BREACH.summary)


def test_what_the_releases_do_by_themselves_is_called_so():
    explained = compare(record("refused", FITS, breaches=(BREACH,)), expected=("misaligned_loss",)).explanation
    assert explained.startswith("the releases do it by themselves")


def test_a_symbol_that_was_never_reached_is_named_with_its_place():
    assert "modeling.py:3" in compare(record("clear", FAILS)).explanation


@pytest.fixture
def project(tmp_path: Path):
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "florence2", "architectures": ["Florence2ForConditionalGeneration"]}, indent=1),
        "utf-8",
    )
    return build_config({"model": {"base_model": str(tmp_path)}}, source=tmp_path)


def test_a_class_that_the_files_name_decides_for_a_model_without_code(project):
    missing = predict(project, make_cell("tf4.46.3-peft0.13.2"))
    assert (missing.verdict, missing.place) == ("fails", "config.json:4")
    assert missing.reason == "transformers has no Florence2ForConditionalGeneration"
    assert predict(project, make_cell("tf5.23.0-peft0.21.2")).verdict == "fits"


def test_the_last_release_of_the_same_minor_answers_for_one_that_is_not_indexed(project):
    assert predict(project, make_cell("tf4.57.3-peft0.18.0")).verdict == "fits"


def test_a_release_that_nothing_is_known_of_is_not_guessed(project):
    found = predict(project, make_cell("tf6.1.0-peft0.18.0"))
    assert (found.verdict, found.reason) == ("unknown", "transformers 6.1.0 is not in the index")


def test_a_model_that_is_known_by_names_alone_is_predicted_by_them():
    names = ("Qwen2VLConfig", "Qwen3VLProcessor")
    assert predict_names(names, HERE, make_cell("tf4.51.3-peft0.15.2")).reason == "transformers has no Qwen3VLProcessor"
    assert predict_names(names, HERE, make_cell("tf4.57.6-peft0.15.2")) == FITS
