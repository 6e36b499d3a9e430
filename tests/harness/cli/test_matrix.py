"""`preflight matrix` from the command line; the cells themselves are in tests/harness/commands/matrix."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from preflight_ocr.harness.cli import preflight
from preflight_ocr.harness.commands.matrix.cells import list_cells
from preflight_ocr.harness.commands.matrix.records import CellRecord, Matrix, ModelRecord, read_matrix


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.excepthook", None)
    return lambda *words: CliRunner().invoke(preflight, ["matrix", *map(str, words)])


def make_cell(name: str, ending: str = "clear") -> CellRecord:
    transformers, _, peft = name.removeprefix("tf").partition("-peft")
    model = ModelRecord(model="m", shown="A model", ending=ending, reason="a reason" if ending == "failed" else "")
    return CellRecord(cell=name, transformers=transformers, peft=peft, built=True, models=(model,))


def test_the_cells_are_listed_with_what_is_installed_in_them(run):
    lines = run("--list").output.splitlines()
    assert len(lines) == len(list_cells())
    assert lines[0] == "tf4.46.3-peft0.13.2  transformers==4.46.3 peft==0.13.2 accelerate==1.2.1"
    assert run("--list", "--cells", "tf5.0.0-*").output.count("\n") == 4


def test_a_name_that_is_no_cell_is_refused_with_what_to_type(run):
    result = run("--cells", "newest")
    assert result.exit_code == 2
    assert "seen 'newest', expected a cell as tf5.23.0-peft0.21.2" in result.output


def test_records_of_any_origin_become_one_matrix(run, tmp_path):
    for name in ("tf5.0.0-peft0.18.1", "tf4.46.3-peft0.13.2"):
        make_cell(name).write(tmp_path / "cells" / f"{name}.json")
    result = run("--merge", "-o", "cells", "--json", "all.json", "--html", "all.html")
    assert result.exit_code == 0, result.output
    assert [cell.transformers for cell in read_matrix(tmp_path / "all.json").cells] == ["4.46.3", "5.0.0"]
    assert "A model" in (tmp_path / "all.html").read_text("utf-8")
    assert "A model" in result.output


def test_what_preflight_failed_on_shows_in_the_exit_code(run, tmp_path):
    make_cell("tf5.0.0-peft0.18.1", "failed").write(tmp_path / "cells" / "tf5.0.0-peft0.18.1.json")
    assert run("--merge", "-o", "cells").exit_code == 1


def test_nothing_to_merge_is_refused(run, tmp_path):
    (tmp_path / "cells").mkdir()
    result = run("--merge", "-o", "cells")
    assert result.exit_code == 2
    assert "seen no record of a cell" in result.output


def test_stopping_says_how_to_go_on(run, monkeypatch):
    def stop(*words, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("preflight_ocr.harness.commands.matrix.run.run_matrix", stop)
    result = run("--cells", "tf5.0.0-*", "-o", "cells")
    assert result.exit_code == 130
    assert "What is done is in cells; the same command goes on from there." in result.output


def test_the_cells_asked_for_are_run_with_the_projects_given(run, monkeypatch):
    asked = {}

    def answer(cells, configs, folder, **options):
        asked.update(cells=[cell.name for cell in cells], configs=[str(path) for path in configs], **options)
        return Matrix(config="x", cells=(make_cell(cells[0].name),))

    monkeypatch.setattr("preflight_ocr.harness.commands.matrix.run.run_matrix", answer)
    assert (
        run("a.yaml", "b.yaml", "--cells", "tf5.0.0-peft0.18.1,tf4.49.0-peft0.15.2", "--trust", "--again").exit_code
        == 0
    )
    assert asked["cells"] == ["tf4.49.0-peft0.15.2", "tf5.0.0-peft0.18.1"]
    assert asked["configs"] == ["a.yaml", "b.yaml"]
    assert (asked["trust"], asked["again"], asked["keep"]) == (True, True, False)
