from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.reports.memory.plot import list_bars, write


def test_the_bars_add_up_to_what_is_needed(answer):
    (name, parts), *changes = list_bars(answer)
    assert name == "as it is"
    assert sum(size for _, size in parts) == answer.needed
    assert [(bar, sum(dict(p).values())) for bar, p in changes] == [(c.words, c.needed) for c in answer.changes]


def test_an_svg_is_well_formed_and_holds_its_words_as_text(answer, tmp_path):
    path = tmp_path / "memory.svg"
    write(answer, path)
    text = "".join(ElementTree.fromstring(path.read_bytes()).itertext())
    assert "kept for backward" in text and "budget 8.00 GiB" in text
    assert "$hostile$ <b>" in text
    before = path.read_bytes()
    write(answer, path)
    assert path.read_bytes() == before


def test_a_png_is_one(answer, tmp_path):
    write(answer, tmp_path / "memory.PNG")
    assert (tmp_path / "memory.PNG").read_bytes().startswith(b"\x89PNG")


def test_of_weights_alone_their_parts_are_drawn(answer):
    alone = msgspec.structs.replace(answer, peak=None)
    assert list_bars(alone) == [("weights", [("vision (bfloat16)", 6)])]


def test_another_suffix_and_an_empty_answer_are_refused(answer, tmp_path):
    with pytest.raises(UserError, match=r"\.svg or \.png"):
        write(answer, tmp_path / "memory.pdf")
    with pytest.raises(UserError, match="nothing is known"):
        write(msgspec.structs.replace(answer, peak=None, weights=()), Path("memory.svg"))
