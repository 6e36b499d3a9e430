from __future__ import annotations

import re

import msgspec
import pytest

from fixtures.corpus import find_faults
from fixtures.corpus.table import DryRun, Named, Result, Results, read_results, write_results
from reports import catalogue_docs


def fill_corpus() -> str:
    return catalogue_docs.fill_blocks("<!-- generated: corpus -->\n<!-- end generated -->\n")


def test_results_survive_the_file(tmp_path):
    row = Result(
        id="chain-13",
        plant="a mask",
        found=(Named(code="COL001", name="broadcast_mask", basis="ran"),),
        seconds=3.5,
        dry_run=DryRun(outcome="silent"),
    )
    results = Results(versions={"torch": "2.13.0"}, faults=(row,))
    write_results(results, tmp_path / "results.json")
    assert read_results(tmp_path / "results.json") == results


def test_a_broken_results_file_is_an_error_and_not_an_empty_table(tmp_path):
    path = tmp_path / "results.json"
    path.write_text('{"versions": {}}', encoding="utf-8")
    with pytest.raises(msgspec.ValidationError, match="faults"):
        read_results(path)


def test_every_fault_has_a_result_and_every_result_a_fault():
    assert [row.id for row in read_results().faults] == [fault.id for fault in find_faults()]


def test_every_planted_fault_was_found_by_exactly_its_root_causes():
    assert not [row.id for row in read_results().faults if row.missed or row.extra]


def test_the_block_has_a_row_for_each_result():
    ids = re.findall(r"^\| ([a-z]+-\d+) \|", fill_corpus(), re.MULTILINE)
    assert ids == [row.id for row in read_results().faults]


def test_the_readme_shows_what_was_measured():
    readme = (catalogue_docs.ROOT / "README.md").read_text(encoding="utf-8")
    assert fill_corpus().strip() in readme, "run python -m reports.catalogue_docs and commit what it writes"
