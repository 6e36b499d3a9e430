from __future__ import annotations

import itertools
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.reports.memory.plot import list_rows, write


def test_the_parts_lie_behind_each_other_and_add_up_to_what_is_needed(answer):
    rows = list_rows(answer)
    at = next(number for number, (name, _, _) in enumerate(rows) if name == "together, as it is")
    parts = rows[:at]
    assert parts[0][1] == 0
    assert all(start == before + size for (_, before, size), (_, start, _) in itertools.pairwise(parts))
    assert sum(size for _, _, size in parts) == rows[at][2] == answer.needed
    assert rows[at + 1 :] == [(f"after: {c.words}", 0, c.needed) for c in answer.changes]


def test_one_unit_is_on_the_axis_and_at_every_bar(answer, tmp_path):
    write(answer, tmp_path / "memory.svg")
    text = " ".join(ElementTree.fromstring((tmp_path / "memory.svg").read_bytes()).itertext())
    assert "GiB; each part begins" in text
    assert "MiB" not in text and "KiB" not in text


def test_an_svg_is_well_formed_and_holds_its_words_as_text(answer, tmp_path):
    path = tmp_path / "memory.svg"
    write(answer, path)
    text = "".join(ElementTree.fromstring(path.read_bytes()).itertext())
    assert "kept for backward" in text and "budget 8.0 GiB" in text
    assert "$hostile$ <b>" in text
    before = path.read_bytes()
    write(answer, path)
    assert path.read_bytes() == before


def test_a_png_is_one(answer, tmp_path):
    write(answer, tmp_path / "memory.PNG")
    assert (tmp_path / "memory.PNG").read_bytes().startswith(b"\x89PNG")


def test_of_weights_alone_their_parts_are_drawn(answer):
    alone = msgspec.structs.replace(answer, peak=None)
    assert list_rows(alone) == [("vision (bfloat16)", 0, 6), ("weights, together", 0, 6)]


def test_another_suffix_and_an_empty_answer_are_refused(answer, tmp_path):
    with pytest.raises(UserError, match=r"\.svg or \.png"):
        write(answer, tmp_path / "memory.pdf")
    with pytest.raises(UserError, match="nothing is known"):
        write(msgspec.structs.replace(answer, peak=None, weights=()), Path("memory.svg"))
