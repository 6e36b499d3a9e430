from __future__ import annotations

import re

import pytest

from docs.generate import fill_blocks
from preflight_ocr.fixtures.corpus import find_faults
from preflight_ocr.fixtures.corpus.cases import find_cases, find_pattern_cases
from preflight_ocr.fixtures.corpus.models import find_miniatures
from preflight_ocr.harness.commands.corpus import table
from preflight_ocr.harness.commands.corpus.run import read_versions
from preflight_ocr.harness.commands.corpus.table import read_results, tabulate_models
from preflight_ocr.harness.commands.corpus.trials import Run


def fill_corpus() -> str:
    return fill_blocks("<!-- generated: corpus -->\n<!-- end generated -->\n")


def test_every_case_has_a_result_and_every_result_a_case():
    if read_versions() != read_results().versions:
        pytest.skip(f"the committed results are of {read_results().versions}, installed is {read_versions()}")
    tried = {(trial.faults[0], trial.model) for trial in read_results().trials if len(trial.faults) == 1}
    assert tried == {(case.fault, case.model) for case in (*find_cases(), *find_pattern_cases())}


def test_every_planted_fault_was_found_by_exactly_its_root_causes():
    assert not [(trial.model, trial.faults) for trial in read_results().planted if not trial.is_exact]


def test_no_healthy_model_had_a_false_alarm():
    assert not [(trial.model, trial.extra) for trial in read_results().healthy if trial.extra]


def test_every_model_has_a_row_with_what_it_found_or_why_it_was_not_run():
    rows = list(tabulate_models(read_results()))
    assert [row[0] for row in rows] == [model.shown for model in find_miniatures()]
    assert all("not run" in row[2] or re.match(r"\d+ of \d+$", row[1]) for row in rows)


def test_the_block_has_a_row_for_each_fault():
    ids = re.findall(r"^\| ([a-z]+-\d+(?:-\w+)*) \|", fill_corpus(), re.MULTILINE)
    assert ids == [fault.id for fault in find_faults()]


def test_what_is_named_is_a_trial_and_leaves_the_committed_results_alone(tmp_path, monkeypatch):
    run, asked = Run(versions={}, jobs=1, seconds=1.0, trials=()), []
    monkeypatch.setattr(table, "run_corpus", lambda **given: asked.append(given) or run)
    monkeypatch.setattr(table, "RESULTS", tmp_path / "results.json")
    words = ["llava", "--fault", "rep-13", "--fault", "rep-14", "--jobs", "1"]
    assert table.main(words, write=lambda line: None) == 0
    assert list(tmp_path.iterdir()) == []
    assert (asked[0]["models"], asked[0]["faults"], asked[0]["jobs"]) == (["llava"], ["rep-13", "rep-14"], 1)
    table.main([*words, "--write", str(tmp_path / "part.json")], write=lambda line: None)
    assert [path.name for path in tmp_path.iterdir()] == ["part.json"]
    table.main([], write=lambda line: None)
    assert (tmp_path / "results.json").exists() and asked[-1]["groups"] > 0
