from __future__ import annotations

import click
import pytest

from preflight_ocr.reports.comparison import compare, describe

A, B = "COL001-broadcast_mask", "LBL002-unmasked_prompt"


@pytest.fixture
def found(write_document, write_finding):
    before = write_document(
        {A: "broken", B: "kept", "DEV001-x": "kept", "SAV001-y": "broken"},
        write_finding(A),
        write_finding("SAV001-y"),
        torch="2.12",
    )
    after = write_document(
        {A: "kept", B: "broken", "DEV001-x": "skipped", "SAV001-y": "skipped"},
        write_finding(B, "MAJOR", "the prompt is trained on " * 12),
        reasons={"DEV001-x": "no accelerator here", "SAV001-y": "nothing was saved"},
        torch="2.13",
    )
    return compare(before, after, names=("a.json", "b.json"))


def test_every_part_is_told(found):
    words = describe(found)
    assert words.startswith("REFUSED: 1 new, 2 NO LONGER LOOKED AT, 1 fixed, 0 stayed\na.json -> b.json")
    for part in (
        "NEW (1)\n  MAJOR LBL002 unmasked_prompt",
        "NO LONGER LOOKED AT (2)\n  No accelerator here\n    DEV001-x: kept -> skipped",
        "  Nothing was saved\n    SAV001-y: broken -> skipped\n      Not known to be fixed: BLOCKER: seen 1, expected 19",
        "FIXED (1)\n  BLOCKER COL001 broadcast_mask",
        "! LBL002-unmasked_prompt  kept -> broken",
        "  COL001-broadcast_mask   broken -> kept",
        "torch  2.12 -> 2.13",
    ):
        assert part in words


@pytest.mark.parametrize("width", [60, 100])
def test_no_line_is_wider_than_the_terminal(found, width):
    assert max(map(len, describe(found, width=width).splitlines())) <= width


def test_colour_changes_no_letter(found):
    assert click.unstyle(describe(found, colour=True)) == describe(found)
    assert describe(found, colour=True) != describe(found)


def test_two_alike_reports_say_so(write_document):
    same = write_document({A: "kept"})
    assert describe(compare(same, same)) == "CLEAR: 0 new, 0 fixed, 0 stayed\nbefore -> after\nBoth saw the same facts."
