"""What a newcomer types works, and the screen says what a person has read and found good."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from tests.newcomer.hour import HERE, play


def compare(chapter: str, folder: Path) -> None:
    """To accept a change: `python -m tests.newcomer.hour`, which writes the golden texts anew.

    Words are compared and not lines: how long the name of the temporary folder is decides where a line ends.
    """
    expected, found = (HERE / f"{chapter}.txt").read_text(encoding="utf-8"), play(chapter, folder).text
    seen = "\n".join(difflib.unified_diff(expected.splitlines(), found.splitlines(), "expected", "seen", lineterm=""))
    assert found.split() == expected.split(), seen


def test_what_a_newcomer_reads_before_anything_runs(tmp_path: Path):
    compare("reading", tmp_path)


@pytest.mark.slow
def test_what_a_newcomer_sees_when_the_model_runs(tmp_path: Path):
    compare("running", tmp_path)
