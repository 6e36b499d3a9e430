from __future__ import annotations

import json

import pytest
from PIL import Image

from preflight_ocr.harness.commands.fuzz.samples import (
    Expectation,
    Page,
    Sample,
    SampleError,
    Sheet,
    keep,
    read_kept,
    write_pages,
)
from preflight_ocr.harness.commands.fuzz.strategies import MODES
from preflight_ocr.harness.training.data import Rows
from preflight_ocr.harness.training.images import open_image

WHY = Expectation(promise="keeps-the-text", seen="it did not", models=("qwen2_vl",))


def one(text="a", **page):
    return Sample(sheets=(Sheet(text=text, pages=(Page(**({"width": 40, "height": 20} | page)),)),))


@pytest.mark.parametrize("mode", MODES)
def test_a_page_of_every_mode_is_written_as_that_mode_and_opened_as_rgb(tmp_path, mode):
    (row,) = write_pages(one(mode=mode), tmp_path)
    with Image.open(row["image_path"]) as image:
        assert (image.mode, image.size) == (mode, (40, 20))
    page = open_image(tmp_path / row["image_path"])
    assert (page.mode, page.size) == ("RGB", (40, 20))
    dark, light = sorted(page.convert("L").getextrema())
    assert dark < 100 and light > 200


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_turned_page_is_opened_upright(tmp_path, orientation, mode):
    (row,) = write_pages(one(orientation=orientation, mode=mode), tmp_path)
    assert open_image(tmp_path / row["image_path"]).size == ((40, 20) if orientation < 5 else (20, 40))


def test_the_same_page_is_the_same_bytes_and_other_pages_are_other_files(tmp_path):
    (first,) = write_pages(one(), tmp_path / "a")
    (again,) = write_pages(one(text="b"), tmp_path / "b")
    assert open_image(first["image_path"]).tobytes() == open_image(again["image_path"]).tobytes()
    changes = ({}, {"width": 41}, {"mode": "L"}, {"orientation": 3}, {"blank": True})
    assert len({Page(**({"width": 40, "height": 20} | change)).file_name for change in changes}) == len(changes)


def test_a_kept_sample_comes_back_with_its_rows_and_its_reason(tmp_path):
    sheets = (Sheet(text="дом\x00", pages=(Page(width=1, height=1),)), Sheet(text=""))
    folder = keep(Sample(sheets=sheets), WHY, tmp_path / "kept")
    expectation, rows = read_kept(folder)
    assert expectation == WHY
    assert rows == [{"image_path": str(folder / "pages" / "1x1-RGB.png"), "text": "дом\x00"}, {"text": ""}]
    assert [Rows(folder)[i] for i in (0, 1)] == rows
    open_image(folder / "pages" / "1x1-RGB.png")


def test_a_kept_row_of_several_pages_keeps_them_all(tmp_path):
    pages = (Page(width=2, height=1), Page(width=3, height=1))
    folder = keep(Sample(sheets=(Sheet(text="x", pages=pages),)), WHY, tmp_path / "kept")
    names = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))[0]["image_path"]
    assert names == ["pages/2x1-RGB.png", "pages/3x1-RGB.png"]
    assert read_kept(folder)[1][0]["image_path"] == [str(folder / name) for name in names]


def test_keeping_again_leaves_nothing_of_what_was_there(tmp_path):
    keep(one(width=9), WHY, tmp_path / "kept")
    keep(one(width=5), WHY, tmp_path / "kept")
    assert [path.name for path in (tmp_path / "kept" / "pages").iterdir()] == ["5x20-RGB.png"]


def test_a_folder_without_a_sample_is_an_error_that_names_it(tmp_path):
    with pytest.raises(SampleError, match=r"no sample can be read .* as `preflight fuzz` writes them"):
        read_kept(tmp_path)


def test_a_smaller_sample_has_fewer_rows_then_characters_then_pixels():
    large = Sample(sheets=(Sheet(text="ab"), Sheet(text="")))
    assert one().size < one(width=50).size < one(text="ab").size < large.size


def test_a_long_text_is_described_by_its_beginning():
    words = one(text="x" * 200).describe()
    assert words.startswith("40x20-RGB.png with 'xxx") and words.endswith("... of 200 characters")
    assert Sample(sheets=(Sheet(text="t"),)).describe() == "no page with 't'"
