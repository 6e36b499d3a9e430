from __future__ import annotations

import pytest

from preflight_ocr.harness.commands.matrix.records import Matrix
from preflight_ocr.reports.matrix import describe
from tests.support.matrices import make_matrix


@pytest.mark.parametrize("width", [60, 80, 110, 200])
def test_no_line_is_wider_than_the_terminal(width):
    words = describe(make_matrix(), width=width)
    assert max(len(line) for line in words.splitlines()) <= width


@pytest.mark.parametrize("width", [40, 80, 300])
def test_every_column_is_shown_once_however_narrow_the_terminal(width):
    lines = describe(make_matrix(), width=width).splitlines()
    pefts = [word for line in lines if line.startswith("peft ") for word in line.split()[1:]]
    assert pefts == ["0.13.2", "0.15.2", "0.18.1", "0.21.2"] * 6


def test_marks_say_window_disagreement_and_what_is_not_there():
    lines = {line.split()[0]: line for line in describe(make_matrix(), width=300).splitlines() if line.strip()}
    assert lines["dots.ocr"].split()[1:] == ["[ok]"] * 16 + ["x", *["[FWD015]!"] * 3] * 2
    assert "-" in lines["Qwen2.5-VL"].split()
    assert "NOT BUILT (2)" in describe(make_matrix())


def test_every_disagreement_is_explained():
    words = " ".join(describe(make_matrix()).split())
    assert "Reading and running do not agree (20)" in words
    assert (
        "dots.ocr, transformers 5.0.0 to 5.23.0 with peft 0.15.2, 0.18.1, 0.21.2: reading: fits; running: FWD015"
        in words
    )


def test_colour_changes_no_letter():
    import click

    assert click.unstyle(describe(make_matrix(), colour=True)) == describe(make_matrix())


def test_an_empty_matrix_says_what_it_is():
    assert describe(Matrix(config="run.yaml", cells=())).startswith("run.yaml: 1 model in 0 cells")
