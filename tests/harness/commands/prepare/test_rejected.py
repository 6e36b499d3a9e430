"""Each reason for which a row is left out, none of which ends the run or costs another row."""

from __future__ import annotations

import json
import os
import struct
import zlib

import pytest
from PIL import Image

from preflight_ocr.harness.commands.prepare.reasons import REASONS
from preflight_ocr.harness.foreign.xml_text import BrokenXml, parse_xml
from tests.support.scans import draw, fill_folder, list_rows, read_lines, read_rejected

BOMB = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><PcGts><Page>&y;</Page></PcGts>'
EXTERNAL = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><PcGts><Page>&x;</Page></PcGts>'


def make_bomb(width, height):
    """A PNG that says it has so many pixels, in a few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


def layout(line):
    page = '<Page imageFilename="000.png" imageWidth="240" imageHeight="48">'
    return f"<PcGts>{page}<TextRegion>{line}</TextRegion></Page></PcGts>"


ROWS = {
    "broken_row": "[1, 2",
    "no_picture": {"text": "x"},
    "several_pictures": {"images": ["000.png", "001.png"], "text": "x"},
    "picture_missing": {"image_path": "gone.png", "text": "x"},
    "outside": {"image_path": "../secret.png", "text": "x"},
    "web_address": {"image_path": "https://example.org/a.png", "text": "x"},
    "not_a_picture": {"image_path": "short.png", "text": "x"},
    "too_small": {"image_path": "small.png", "text": "x"},
    "too_large": {"image_path": "bomb.png", "text": "x"},
    "several_pages": {"image_path": "pages.tif", "text": "x"},
    "no_text": {"image_path": "000.png", "text": None},
    "empty_text": {"image_path": "000.png", "text": " \n"},
    "control_characters": {"image_path": "000.png", "text": "a\u0007b"},
    "damaged_text": {"image_path": "000.png", "text": "a\ufffdb"},
    "no_group": {"image_path": "000.png", "text": "x", "writer": ""},
}
FILES = {
    "broken_file": {"x.xml": b"<PcGts><Page>"},
    "unknown_file": {"x.docx": b"PK"},
    "no_picture": {"x.txt": b"text"},
    "no_text": {"x.png": None},
    "two_texts": {"x.png": None, "x.txt": b"a", "x.gt.txt": b"b"},
    "not_utf8": {"x.png": None, "x.txt": "caf\u00e9".encode("latin-1")},
    "no_region": {"y.xml": layout('<TextLine id="l"><TextEquiv><Unicode>a</Unicode></TextEquiv></TextLine>').encode()},
}
ELSEWHERE = {"unwritable", "special_token", "ended_process"}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "in"
    fill_folder(folder, 2)
    return folder


def test_every_reason_is_tested():
    assert {*ROWS, *FILES, *ELSEWHERE} == {*REASONS}


@pytest.mark.parametrize("reason", ROWS)
def test_a_row_is_rejected_with_its_reason_and_the_next_one_is_kept(run, folder, tmp_path, reason):
    draw("secret").save(tmp_path / "secret.png")
    (folder / "short.png").write_bytes((folder / "000.png").read_bytes()[:-200])
    draw("small").crop((0, 0, 5, 40)).save(folder / "small.png")
    (folder / "bomb.png").write_bytes(make_bomb(60_000, 60_000))
    draw("a").save(folder / "pages.tif", save_all=True, append_images=[draw("b")])
    good = json.dumps({"image_path": "001.png", "text": "sound", "writer": "w"})
    bad = ROWS[reason]
    bad = bad if isinstance(bad, str) else json.dumps(bad if reason == "no_group" else {**bad, "writer": "w"})
    (folder / "rows.jsonl").write_text(f"{good}\n{bad}\n{good}\n", encoding="utf-8")
    run(folder / "rows.jsonl", "-o", tmp_path / "out", "--group-by", "writer")
    assert read_rejected(tmp_path / "out") == {"rows.jsonl:2": reason}
    assert len(list_rows(tmp_path / "out")) == 2
    (line,) = read_lines(tmp_path / "out" / "rejected.jsonl")
    assert line["said"] and "\n" not in line["said"]


@pytest.mark.parametrize("reason", FILES)
def test_a_file_is_rejected_with_its_reason_and_the_others_are_kept(run, folder, tmp_path, reason):
    for name, content in FILES[reason].items():
        if content is None:
            draw("other", seed=9).save(folder / name)
        else:
            (folder / name).write_bytes(content)
    run(folder, "-o", tmp_path / "out", "--lines")
    found = read_rejected(tmp_path / "out")
    assert reason in found.values()
    assert {row["text"] for row in list_rows(tmp_path / "out")} >= {(folder / "001.txt").read_text().strip()}


@pytest.mark.parametrize("text", [BOMB, EXTERNAL], ids=["entities", "an outer file"])
def test_a_document_type_is_refused_whatever_it_declares(run, folder, tmp_path, text):
    (folder / "x.xml").write_text(text, encoding="utf-8")
    run(folder, "-o", tmp_path / "out")
    (line,) = read_lines(tmp_path / "out" / "rejected.jsonl")
    assert line["reason"] == "broken_file" and "document type" in line["said"] and "root:" not in line["said"]


@pytest.mark.parametrize("data", [b"<a>" * 5000, b'<?xml version="1.0" encoding="nonsense"?><a/>', b"", b"\xff\xfe<"])
def test_xml_that_is_no_page_is_an_error_of_that_file(data):
    with pytest.raises(BrokenXml, match=r"^x\.xml"):
        parse_xml(data, "x.xml")


def test_coordinates_of_another_picture_are_not_used(run, folder, tmp_path):
    line = '<TextLine id="l"><Coords points="0,0 9,0 9,9"/><TextEquiv><Unicode>a</Unicode></TextEquiv></TextLine>'
    (folder / "000.xml").write_text(
        layout(line).replace('"240"', '"48"').replace('imageHeight="48"', 'imageHeight="240"')
    )
    (folder / "000.txt").unlink()
    run(folder, "-o", tmp_path / "out", "--lines")
    assert read_rejected(tmp_path / "out") == {"000.xml#l": "no_region"}


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_a_link_out_of_the_folder_brings_nothing_in(run, folder, tmp_path):
    (tmp_path / "secret.txt").write_text("password", encoding="utf-8")
    draw("x", seed=8).save(folder / "x.png")
    (folder / "x.txt").symlink_to(tmp_path / "secret.txt")
    run(folder, "-o", tmp_path / "out")
    assert read_rejected(tmp_path / "out") == {"x.png": "outside"}
    assert "password" not in (tmp_path / "out" / "rejected.jsonl").read_text(encoding="utf-8")


def test_a_folder_that_is_allowed_gives_its_pictures(run, folder, tmp_path):
    draw("secret").save(tmp_path / "secret.png")
    (folder / "rows.jsonl").write_text(json.dumps(ROWS["outside"]) + "\n", encoding="utf-8")
    run(folder / "rows.jsonl", "-o", tmp_path / "out", "--allow", tmp_path)
    assert len(list_rows(tmp_path / "out")) == 1


def test_what_follows_a_break_in_a_file_is_said_not_to_be_read(run, folder, tmp_path):
    row = json.dumps({"image_path": "000.png", "text": "x"})
    (folder / "rows.json").write_text(f"[{row}, {{broken, {row}]" + " " * 5_000_000, encoding="utf-8")
    said = run(folder / "rows.json", "-o", tmp_path / "out", code=3)
    assert "1 files could not be read to their end" in said
    assert read_rejected(tmp_path / "out") == {"rows.json:2": "broken_file"}


def test_where_no_row_is_left_it_says_why_and_names_each(run, folder, tmp_path):
    for path in folder.glob("*.txt"):
        path.write_text("\n", encoding="utf-8")
    said = run(folder, "-o", tmp_path / "out", code=2)
    assert "no row is left of 2; most often: the text is empty" in said
    assert set(read_rejected(tmp_path / "out").values()) == {"empty_text"}


@pytest.fixture
def tokenizer(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    letters = {letter: n for n, letter in enumerate(["<unk>", *"abcdefgh xyz0123456789"])}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(letters, [], unk_token="<unk>"))
    made.decoder = tokenizers.decoders.Fuse()
    made.add_special_tokens(["<image>"])
    (tmp_path / "model").mkdir()
    made.save(str(tmp_path / "model" / "tokenizer.json"))
    return tmp_path / "model"


def test_texts_that_the_tokenizer_cannot_write_are_rejected(run, folder, tokenizer, tmp_path):
    for number, text in enumerate(("abc 12", "5 \u20ac", "a<image>b")):
        draw("abc"[: number + 1], seed=number).save(folder / f"{number:03d}.png")
        (folder / f"{number:03d}.txt").write_text(text, encoding="utf-8")
    run(folder, "-o", tmp_path / "out", "--tokenizer", tokenizer)
    assert [row["text"] for row in list_rows(tmp_path / "out")] == ["abc 12"]
    assert read_rejected(tmp_path / "out") == {"001.png": "unwritable", "002.png": "special_token"}
    assert "U+20AC" in (tmp_path / "out" / "rejected.jsonl").read_text(encoding="utf-8")


def test_a_tokenizer_that_is_none_is_refused_before_anything_is_read(run, folder, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer.json").write_text("{}", encoding="utf-8")
    said = run(folder, "-o", tmp_path / "out", "--tokenizer", tmp_path / "model", code=2)
    assert "cannot be loaded" in said and not (tmp_path / "out").exists()


def test_a_name_of_a_file_cannot_forge_a_line(run, folder, tmp_path):
    draw("x", seed=8).save(folder / "x\x1b[2Jy.png")
    run(folder, "-o", tmp_path / "out")
    assert read_rejected(tmp_path / "out") == {"x\\x1b[2Jy.png": "no_text"}


def test_a_picture_is_opened_by_its_content_not_by_its_ending(run, folder, tmp_path):
    Image.open(folder / "000.png").convert("RGB").save(folder / "000.jpg", "PNG")
    (folder / "000.png").unlink()
    run(folder, "-o", tmp_path / "out")
    assert {row["file_name"][-4:] for row in list_rows(tmp_path / "out")} == {".png"}
