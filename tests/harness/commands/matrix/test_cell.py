"""Inside a cell: what is checked there and what its record says. One miniature, in this environment."""

from __future__ import annotations

from importlib import metadata

import pytest

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.commands.matrix import cell as looking
from preflight_ocr.harness.commands.matrix.cells import make_cell
from preflight_ocr.harness.commands.matrix.records import read_cell

HERE = make_cell(f"tf{metadata.version('transformers')}-peft{metadata.version('peft')}")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return write_project(tmp_path_factory.mktemp("project"), ("chain-14",), model="deepseek_ocr")


def run(*words: object) -> int:
    return looking.main([str(word) for word in words])


@pytest.mark.slow
def test_a_check_becomes_a_record(config, tmp_path, capsys):
    assert run("--cell", HERE.name, "--json", tmp_path / "r.json", "--trust", config) == 0
    record = read_cell(tmp_path / "r.json")
    [model] = record.models
    assert (record.built, model.ending, model.breaches[0].code) == (True, "refused", "COL002")
    assert model.kept > 50
    assert record.environment["peft"] == HERE.peft
    assert "refused, COL002 missing_placeholders" in capsys.readouterr().out


@pytest.mark.slow
def test_without_trust_nothing_foreign_runs_and_the_record_says_so(tmp_path):
    path = write_project(tmp_path / "project", ("chain-14",), model="deepseek_ocr")
    path.write_text(path.read_text("utf-8").replace("trust_remote_code: true", "trust_remote_code: false"), "utf-8")
    run("--cell", HERE.name, "--json", tmp_path / "r.json", path)
    [model] = read_cell(tmp_path / "r.json").models
    assert (model.ending, model.breaches[0].code) == ("refused", "CFG007")
    assert model.skipped > model.kept


def test_an_environment_that_is_not_the_cells_gives_no_result_under_its_name(config, tmp_path):
    assert run("--cell", "tf4.40.0-peft0.10.0", "--json", tmp_path / "r.json", config) == 0
    record = read_cell(tmp_path / "r.json")
    assert not record.built
    assert record.reason == f"seen transformers {HERE.transformers}, expected 4.40.0"


def test_a_library_that_cannot_be_imported_beside_the_others_makes_a_red_cell(config, tmp_path, monkeypatch):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "peft.py").write_text("from transformers import NoSuchName\n", "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    run("--cell", HERE.name, "--json", tmp_path / "r.json", config)
    record = read_cell(tmp_path / "r.json")
    assert not record.built
    assert record.reason.startswith("installed, but `import peft` fails: ImportError: cannot import name 'NoSuchName'")


def test_what_could_not_be_installed_is_a_red_cell_with_pips_reason(config, tmp_path):
    (tmp_path / "installed.json").write_text('{"reason": "No matching distribution", "seconds": 3.21}', "utf-8")
    words = ("--cell", "tf4.40.0-peft0.10.0", "--installed", tmp_path / "installed.json")
    assert run(*words, "--json", tmp_path / "r.json", config) == 0
    record = read_cell(tmp_path / "r.json")
    assert (record.built, record.reason, record.seconds) == (False, "No matching distribution", {"install": 3.2})


def test_a_wrong_name_and_a_wrong_configuration_are_refused(config, tmp_path, capsys):
    assert run("--cell", "newest", "--json", tmp_path / "r.json", config) == 2
    assert run("--cell", HERE.name, "--json", tmp_path / "r.json", tmp_path / "missing.yaml") == 2
    assert not (tmp_path / "r.json").exists()
    assert "missing.yaml" in capsys.readouterr().err
