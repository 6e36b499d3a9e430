"""Rows and image files, each with something the matter."""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from preflight_ocr.harness.facts import Dataset, Unknown
from preflight_ocr.probes.reading import picture_files
from preflight_ocr.probes.reading.dataset import look_at_dataset


def picture(format: str = "PNG", mode: str = "RGB", size=(40, 30), seed: int = 0, **options) -> bytes:
    image = Image.effect_noise(size, 20 + seed).convert("RGB" if mode in ("RGBA", "CMYK", "P") else mode).convert(mode)
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.fixture
def look(plant, configure):
    def run(rows, files=None, val=None, image_token=None) -> Dataset | Unknown:
        root = plant({"train/metadata.json": rows, **{f"train/{name}": data for name, data in (files or {}).items()}})
        data = {"train_path": str(root / "train")}
        if val is not None:
            plant({f"val/{name}": content for name, content in val.items()})
            data["val_path"] = str(root / "val")
        return look_at_dataset(configure({"data": data}), image_token)

    return run


def kinds(dataset: Dataset | Unknown) -> list[tuple[int, str]]:
    assert isinstance(dataset, Dataset), dataset
    return [(problem.row, problem.kind) for problem in dataset.problems]


def test_healthy_rows_give_no_problem(look):
    formats = {"a.png": "PNG", "b.jpg": "JPEG", "c.webp": "WEBP", "d.bmp": "BMP", "e.tif": "TIFF"}
    files = {name: picture(format) for name, format in formats.items()}
    seen = look([{"image_path": name, "text": "Text", "id": 1} for name in files], files)
    assert kinds(seen) == []
    assert seen.splits[0].rows == 5
    assert seen.splits[0].columns == ("image_path", "text", "id")
    assert seen.text_is_ascii


def test_pictures_beyond_the_pixels_that_are_decoded_are_counted_and_not_taken_for_decoded(look, monkeypatch):
    monkeypatch.setattr(picture_files, "DECODED_PIXELS", 40 * 30 * 2)
    names = [f"{number}.png" for number in range(5)]
    files = {name: picture(seed=seed) for seed, name in enumerate(names)}
    rows = [{"image_path": name, "text": "Text"} for name in names]
    seen = look(rows, files)
    assert isinstance(seen.image_pixels, Unknown)
    assert seen.image_pixels.reason.startswith("3 of 5 pictures were read by their header")
    assert seen.image_headers == 5
    damaged = look(rows, {**files, "0.png": picture()[:-200]})
    assert kinds(damaged) == [(0, "truncated image")] and damaged.image_pixels == 2


def test_text_beyond_ascii_is_noticed(look):
    seen = look([{"image_path": "a.png", "text": "Текст"}], {"a.png": picture()})
    assert isinstance(seen, Dataset)
    assert not seen.text_is_ascii


def with_orientation() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture("JPEG", exif=exif)


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.png", picture()[:-20], "truncated image"),
        ("a.jpg", picture("JPEG", size=(300, 300))[:-500], "truncated image"),
        ("a.webp", picture("WEBP", size=(300, 300))[:-100], "unreadable image"),
        ("a.bmp", picture("BMP")[:-100], "truncated image"),
        ("a.tif", picture("TIFF")[:-100], "truncated image"),
        ("a.jpg", with_orientation(), "exif rotation"),
        ("a.png", picture(mode="I;16"), "16-bit"),
        ("a.tif", picture("TIFF", mode="F"), "16-bit"),
        ("a.png", picture(mode="RGBA"), "transparency"),
        ("a.png", picture(mode="P", transparency=0), "transparency"),
        ("a.png", picture(mode="P"), "palette"),
        ("a.jpg", picture("JPEG", mode="CMYK"), "cmyk"),
        ("a.dds", picture("DDS")[:76] + b"\x20\0\0\0\x1b\0\0\0" + picture("DDS")[84:], "unreadable image"),
        ("a.png", b"", "unreadable image"),
        ("a.png", b"not an image at all", "unreadable image"),
        ("a.png", picture()[:60] + b"\0\0\0\0" + picture()[64:], "unreadable image"),
    ],
)
def test_an_image_that_will_cause_trouble_is_named_with_its_kind(look, name, data, kind):
    found = kinds(look([{"image_path": name, "text": "x"}], {name: data}))
    assert found == [(0, kind)]


def test_a_cut_jpeg_is_not_saved_by_the_end_of_its_thumbnail(look):
    exif = Image.Exif()
    exif[0x010E] = "\xff\xd9"
    whole = picture("JPEG", size=(300, 300), exif=exif)
    data = whole[:40] + whole[40:-500]
    thumbnail = data[:2] + b"\xff\xe2\x00\x06\xff\xd9\xff\xd9" + data[2:]
    assert kinds(look([{"image_path": "a.jpg", "text": "x"}], {"a.jpg": thumbnail})) == [(0, "truncated image")]


def test_bytes_behind_the_end_of_an_image_are_no_truncation(look):
    files = {"a.jpg": picture("JPEG") + b"\0" * 9000, "b.png": picture() + b"\0" * 9000}
    assert kinds(look([{"image_path": name, "text": "x"} for name in files], files)) == []


@pytest.mark.parametrize("factor", [1.5, 3])
def test_an_enormous_image_is_told_by_its_header(look, monkeypatch, factor):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(40 * 30 / factor))
    assert kinds(look([{"image_path": "a.png", "text": "x"}], {"a.png": picture()})) == [(0, "enormous image")]


def test_rows_with_missing_files_texts_or_images_are_named(look):
    rows = [
        {"image_path": "gone.png", "text": "x"},
        {"image_path": "a.png", "text": " \n"},
        {"image_path": "a.png"},
        {"text": "no picture"},
        {"image_path": None, "text": "x"},
        {"image_path": 7, "text": "x"},
        ["a.png", "x"],
        {"image_path": "a.png", "text": 5},
        {"image_path": "a\0.png", "text": "x"},
        {"image_path": "n" * 5000, "text": "x"},
        {"image_path": ".", "text": "x"},
        {"image_path": "", "text": "x"},
        {"image_path": " ", "text": "x"},
    ]
    assert kinds(look(rows, {"a.png": picture()})) == [
        (0, "missing image"),
        (1, "empty text"),
        (2, "empty text"),
        (3, "no image"),
        (4, "malformed row"),
        (5, "malformed row"),
        (6, "malformed row"),
        (7, "empty text"),
        (8, "malformed row"),
        (9, "unreadable image"),
        (10, "unreadable image"),
        (11, "malformed row"),
        (12, "malformed row"),
    ]


def test_the_image_token_typed_inside_a_text_is_named(look):
    rows = [{"image_path": "a.png", "text": "<image> and words"}]
    assert kinds(look(rows, {"a.png": picture()}, image_token="<image>")) == [(0, "image token in text")]
    assert kinds(look(rows, {"a.png": picture()})) == []


def test_the_same_bytes_in_train_and_val_are_shared_whatever_their_names(look):
    seen = look(
        [{"image_path": "a.png", "text": "one"}, {"image_path": "b.png", "text": "two"}],
        {"a.png": picture(seed=1), "b.png": picture(seed=2)},
        val={"metadata.json": [{"image_path": "z.png", "text": "one"}], "z.png": picture(seed=3)},
    )
    assert isinstance(seen, Dataset)
    assert seen.shared_rows == ()
    copied = picture(seed=1, size=(50, 50))
    seen = look(
        [{"image_path": "a.png", "text": "one"}],
        {"a.png": copied},
        val={"metadata.json": [{"image_path": "z.png", "text": "other"}], "z.png": copied},
    )
    assert isinstance(seen, Dataset)
    assert seen.shared_rows == ("train row 0 (a.png) = val row 0 (z.png)",)


def test_the_same_path_and_text_are_shared_even_when_the_file_is_gone(look):
    val = {"metadata.json": [{"image_path": "../train/gone.png", "text": "one"}]}
    seen = look([{"image_path": "gone.png", "text": "one"}], val=val)
    assert isinstance(seen, Dataset)
    assert len(seen.shared_rows) == 1


@pytest.mark.parametrize(
    ("junk", "words"),
    [
        ('[\n {"image_path": "a"},\n oops]', "metadata.json:3"),
        (b"\xff\xfe", "metadata.json:1"),
        ('{"rows": []}', "expected a list"),
        (b"[" * 500_000, "metadata.json"),
        ("", "metadata.json:1"),
    ],
)
def test_a_broken_metadata_file_is_unknown_with_its_line(look, junk, words):
    seen = look(junk)
    assert isinstance(seen, Unknown)
    assert words in seen.reason
    assert seen.reason.startswith("data.train_path: ")


def test_a_missing_folder_says_what_was_expected(configure, tmp_path: Path):
    seen = look_at_dataset(configure({"data": {"train_path": str(tmp_path / "no")}}), None)
    assert isinstance(seen, Unknown)
    assert "metadata.json" in seen.reason
    assert isinstance(look_at_dataset(configure(), None), Unknown)


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes need POSIX")
def test_links_in_a_circle_and_pipes_are_problems_of_their_rows(look, tmp_path: Path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "loop.png").symlink_to(tmp_path / "train" / "loop.png")
    os.mkfifo(tmp_path / "train" / "pipe.png")
    found = kinds(look([{"image_path": name, "text": "x"} for name in ("loop.png", "pipe.png")]))
    assert [row for row, _ in found] == [0, 1]
    assert {kind for _, kind in found} <= {"missing image", "unreadable image"}


def test_hundreds_of_pages_are_looked_at_in_a_second(look):
    files = {f"{i}.jpg": picture("JPEG", size=(1000, 1400), seed=i) for i in range(3)}
    rows = [{"image_path": f"sub{i}/../{i % 3}.jpg", "text": str(i)} for i in range(400)]
    started = time.perf_counter()
    look(rows, {**files, **{f"sub{i}/x": "" for i in range(400)}})
    assert time.perf_counter() - started < 4
