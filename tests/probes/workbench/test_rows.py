"""Pictures and targets in rows of other people's forms."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

from preflight_ocr.probes.workbench.rows import (
    find_pictures,
    has_silent_answer,
    open_picture,
    replace_picture,
    tell_texts,
)

PAGE = Image.new("RGB", (12, 8), "white")


def _encode(page: Image.Image) -> bytes:
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()


ROWS: dict[str, Any] = {
    "a Pillow image in a column": {"image": PAGE, "answer": "x"},
    "several": {"images": [PAGE, PAGE], "text": "x"},
    "bytes, as datasets keeps them": {"image": {"bytes": _encode(PAGE), "path": None}, "text": "x"},
    "plain bytes": {"page": _encode(PAGE)},
    "an array": {"pixels": numpy.zeros((8, 12, 3), "uint8")},
    "nested in messages": {"messages": [{"role": "user", "content": [{"type": "image", "image": PAGE}]}]},
    "a tuple": (PAGE, "x"),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_a_picture_is_found_opened_and_replaced_in_its_own_form(row: Any, tmp_path: Path) -> None:
    spots = find_pictures(row)
    assert spots
    assert open_picture(row, spots[0]).size == (12, 8)
    changed = replace_picture(row, spots[0], Image.new("RGB", (12, 8), "black"), tmp_path / "other.png")
    assert open_picture(changed, find_pictures(changed)[0]).getpixel((0, 0)) == (0, 0, 0)
    assert find_pictures(changed)[0].form == spots[0].form
    assert open_picture(row, spots[0]).size == (12, 8)


def test_a_named_file_is_replaced_by_another_name(tmp_path: Path) -> None:
    PAGE.save(tmp_path / "page.png")
    row = {"conversations": [{"from": "gpt", "value": "x"}], "image": str(tmp_path / "page.png")}
    (spot,) = find_pictures(row)
    changed = replace_picture(row, spot, PAGE, tmp_path / "other.png")
    assert changed["image"] == str(tmp_path / "other.png")


@pytest.mark.parametrize(
    "row",
    [{"text": "no picture"}, {"input_ids": [1, 2, 3], "labels": [1] * 9}, {"bytes": b"not a picture"}, {"url": "page"}],
)
def test_what_is_no_picture_is_none(row: Any) -> None:
    assert find_pictures(row) == ()


@pytest.mark.parametrize(
    ("row", "texts"),
    [
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}, ("a",)),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]},
            ("ab",),
        ),
        (
            {"conversations": [{"from": "human", "value": "<image>q"}, {"from": "gpt", "value": "a"},
                               {"from": "human", "value": "r"}, {"from": "gpt", "value": "b"}]},
            ("a", "b"),
        ),
        ({"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]}, ("a",)),
        ({"prompt": "q", "completion": "a"}, ("a",)),
    ],
)  # fmt: skip
def test_the_assistants_turns_are_certain(row: Any, texts: tuple[str, ...]) -> None:
    told = tell_texts(row)
    assert told.certain
    assert told.texts == texts


@pytest.mark.parametrize("column", ["answer", "suffix", "text", "ground_truth", "output"])
def test_a_column_is_only_likely(column: str) -> None:
    told = tell_texts({"question": "q", column: "a"})
    assert not told.certain
    assert told.texts == ("a",)


def test_a_row_of_tensors_tells_nothing() -> None:
    assert tell_texts({"input_ids": [1, 2], "prompt": "q"}).texts == ()


def test_an_answer_without_a_word_is_silent() -> None:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": " "}]
    assert has_silent_answer({"messages": turns})
    assert not has_silent_answer({"messages": [*turns, {"role": "assistant", "content": "a"}]})
    assert not has_silent_answer({"messages": turns[:1]})
    assert not has_silent_answer({"text": ""})
