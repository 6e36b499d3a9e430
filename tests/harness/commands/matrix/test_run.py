"""Cells in a row: records on disk, stopping and going on, red cells. The environment here is the one of these tests."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.commands.matrix import run as running
from preflight_ocr.harness.commands.matrix.cells import make_cell
from preflight_ocr.harness.commands.matrix.records import (
    CellRecord,
    Matrix,
    ModelRecord,
    merge,
    read_cell,
    read_matrix,
)
from preflight_ocr.harness.commands.matrix.subject import digest_subject
from preflight_ocr.harness.config.errors import UserError

HERE = make_cell(f"tf{metadata.version('transformers')}-peft{metadata.version('peft')}")
OTHER = make_cell("tf4.40.0-peft0.10.0")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project", ("chain-14",), model="deepseek_ocr")


@pytest.fixture
def here(monkeypatch):
    """Environments that are this one, and a list of what was asked of pip."""
    asked = []

    def install(arguments, *, python=None):
        asked.append(tuple(arguments))
        return ""

    monkeypatch.setattr(running, "make_environment", lambda folder, shared: Path(sys.executable))
    monkeypatch.setattr(running, "install", install)
    return asked


@pytest.fixture
def quick(here, monkeypatch):
    """Cells that are not looked into: each leaves a record at once."""

    def look(cell, configs, words, python, path, log, *, trust, progress):
        progress("    m: clear")
        record = CellRecord(
            cell=cell.name,
            transformers=cell.transformers,
            peft=cell.peft,
            built=True,
            subject=digest_subject(configs),
            models=(ModelRecord(model="m", shown="M", ending="clear"),),
        )
        record.write(path)
        return 0

    monkeypatch.setattr(running, "_look_inside", look)
    return here


@pytest.mark.slow  # test_cell.py looks into one in the default suite
def test_a_project_is_checked_in_its_cell(config, here, tmp_path):
    lines = []
    found = running.run_matrix([HERE], [config], tmp_path / "out", trust=True, progress=lines.append)
    [cell] = found.cells
    [model] = cell.models
    assert (cell.built, model.ending, model.breaches[0].code) == (True, "refused", "COL002")
    assert (model.prediction.verdict, model.agrees) == ("fits", False)  # it is the project's fault, not the releases'
    assert cell.environment["transformers"] == HERE.transformers
    assert set(cell.seconds) == {"install", "run"}
    assert here == [HERE.requirements]
    assert any("COL002 missing_placeholders" in line for line in lines)


def test_a_cell_that_is_done_is_read_again_unless_it_is_of_something_else(config, quick, tmp_path):
    first = running.run_matrix([HERE], [config], tmp_path / "out")
    assert running.run_matrix([HERE], [config], tmp_path / "out") == first
    assert len(quick) == 1
    config.write_text(config.read_text("utf-8") + "\n# changed\n", "utf-8")
    running.run_matrix([HERE], [config], tmp_path / "out")
    assert len(quick) == 2
    running.run_matrix([HERE], [config], tmp_path / "out", again=True)
    assert len(quick) == 3


def test_a_cell_that_cannot_be_installed_is_red_with_its_reason_and_the_others_go_on(
    config, quick, tmp_path, monkeypatch
):
    fine = running.install
    monkeypatch.setattr(
        running, "install", lambda words, *, python: "no such release" if OTHER.requirements == words else fine(words)
    )
    red, green = running.run_matrix([OTHER, HERE], [config], tmp_path / "out", trust=True).cells
    assert (red.built, red.reason, red.models) == (False, "no such release", ())
    assert green.built


def test_stopping_leaves_no_half_record_and_the_next_run_goes_on(config, here, tmp_path, monkeypatch):
    """The child is a real one, that would wait for an hour."""
    monkeypatch.setattr(running, "PROGRAM", ("-c", "import time; print('waiting', flush=True); time.sleep(3600)"))

    def stop(line):
        if "waiting" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        running.run_matrix([HERE], [config], tmp_path / "out", keep=True, progress=stop)
    assert not (tmp_path / "out" / f"{HERE.name}.json").exists()
    monkeypatch.setattr(running, "PROGRAM", ("-c", "print('over')"))
    [cell] = running.run_matrix([HERE], [config], tmp_path / "out").cells
    assert "did not come back" in cell.reason
    assert here == [HERE.requirements, HERE.requirements]


def test_a_cell_that_dies_is_red_with_its_last_words(config, here, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "PROGRAM", ("-c", "raise SystemExit('out of memory')"))
    [cell] = running.run_matrix([HERE], [config], tmp_path / "out").cells
    assert not cell.built
    assert "ended with 1: out of memory" in cell.reason


def test_a_wrong_configuration_ends_the_matrix_before_anything_is_installed(here, tmp_path):
    with pytest.raises(UserError):
        running.run_matrix([HERE], [tmp_path / "missing.yaml"], tmp_path / "out")
    assert here == []


class TestRecords:
    CELL = CellRecord(cell="tf5.0.0-peft0.18.1", transformers="5.0.0", peft="0.18.1", built=False, reason="x")

    def test_a_cell_is_read_as_it_was_written(self, tmp_path):
        self.CELL.write(tmp_path / "a.json")
        assert read_cell(tmp_path / "a.json") == self.CELL

    def test_a_matrix_is_read_as_it_was_written(self, tmp_path):
        whole = Matrix(config="miniatures", cells=(self.CELL,))
        whole.write(tmp_path / "m.json")
        assert read_matrix(tmp_path / "m.json") == whole

    @pytest.mark.parametrize("text", ["", "[]", '{"cell": 3}', '{"schema_version": 2}'])
    def test_what_is_no_record_is_refused_with_its_name(self, tmp_path, text):
        (tmp_path / "a.json").write_text(text, "utf-8")
        with pytest.raises(UserError, match=r"a\.json: seen .*; expected a record"):
            read_cell(tmp_path / "a.json")

    def test_cells_are_merged_by_release_and_not_by_letter_and_the_later_record_stays(self, tmp_path):
        old = self.CELL
        cells = [
            CellRecord(cell=f"tf{t}-peft{p}", transformers=t, peft=p, built=True)
            for t, p in (("5.23.0", "0.9.0"), ("5.9.0", "0.21.2"), ("5.9.0", "0.13.2"), ("5.0.0", "0.18.1"))
        ]
        merged = merge([old, *cells], config="miniatures").cells
        assert [cell.transformers for cell in merged] == ["5.0.0", "5.9.0", "5.9.0", "5.23.0"]
        assert [cell.peft for cell in merged[1:3]] == ["0.13.2", "0.21.2"]
        assert merged[0].built

    def test_a_folder_without_records_is_refused(self, tmp_path):
        with pytest.raises(UserError, match="seen no record of a cell"):
            running.merge_folder(tmp_path)

    @pytest.mark.parametrize(
        ("endings", "code"),
        [(["clear"], 0), (["absent", "refused"], 0), (["absent"], 3), (["failed", "clear"], 1), ([], 3)],
    )
    def test_the_exit_code_says_whether_anything_was_judged(self, endings, code):
        models = tuple(ModelRecord(model="m", shown="m", ending=ending) for ending in endings)
        cell = CellRecord(cell="c", transformers="5.0.0", peft="0.18.1", built=True, models=models)
        assert Matrix(config="x", cells=(cell,)).exit_code == code
