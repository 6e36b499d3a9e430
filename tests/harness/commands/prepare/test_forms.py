"""Every form of source becomes the same rows, and training reads them."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from preflight_ocr.harness.commands.prepare.layouts import parse_layout
from preflight_ocr.harness.training.data import Rows
from tests.support.scans import draw, fill_folder, list_rows, read_lines, read_rejected, read_rows

PAGE = """<?xml version="1.0"?>
<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15">
<Page imageFilename="{picture}" imageWidth="240" imageHeight="96">
<ReadingOrder><OrderedGroup id="g"><RegionRefIndexed index="1" regionRef="b"/>
<RegionRefIndexed index="0" regionRef="a"/>
</OrderedGroup></ReadingOrder>
<TextRegion id="b"><TextLine id="b1"><Coords points="0,48 240,48 240,96 0,96"/>
<Word><TextEquiv><Unicode>second</Unicode></TextEquiv></Word><Word><TextEquiv><Unicode>{second}</Unicode></TextEquiv></Word>
</TextLine></TextRegion>
<TextRegion id="a"><TextLine id="a1"><Coords points="0,0 240,0 240,48 0,48"/>
<TextEquiv index="1"><Unicode>another reading</Unicode></TextEquiv><TextEquiv index="0"><Unicode>{first}</Unicode>
</TextEquiv>
</TextLine></TextRegion></Page></PcGts>"""
ALTO = """<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#"><Description><sourceImageInformation>
<fileName>{picture}</fileName></sourceImageInformation></Description><Layout><Page WIDTH="480" HEIGHT="192"><PrintSpace>
<TextBlock><TextLine ID="l1" HPOS="0" VPOS="0" WIDTH="480" HEIGHT="96"><String CONTENT="{first}"/><SP/><String CONTENT="x"/>
<HYP CONTENT="-"/></TextLine><TextLine ID="l2"><Shape><Polygon POINTS="0 96 480 96 480 192 0 192"/></Shape>
<String CONTENT="{second}"/></TextLine></TextBlock></PrintSpace></Page></Layout></alto>"""


def paste(folder, name, first, second):
    folder.mkdir(exist_ok=True, parents=True)
    page = Image.new("L", (240, 96))
    page.paste(draw(first), (0, 0))
    page.paste(draw(second, seed=1), (0, 48))
    page.save(folder / name)


def encode(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def test_pictures_with_sidecar_texts_become_rows_that_training_and_datasets_read(run, tmp_path):
    import datasets

    texts = fill_folder(tmp_path / "in", 12)
    said = run(tmp_path / "in", "-o", tmp_path / "out")
    assert "12 rows: train 10, val 1, test 1, rejected 0" in said
    assert sorted(row["text"] for row in list_rows(tmp_path / "out")) == sorted(texts)
    for split, rows in read_rows(tmp_path / "out").items():
        read = Rows(tmp_path / "out" / split, split=split)
        assert [row["text"] for row in read] == [row["text"] for row in rows]
        assert all(Image.open(row["image_path"]).size == (240, 48) for row in read)
    loaded = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 10, "validation": 1, "test": 1}
    assert {"image", "text", "source"} <= set(loaded["train"].column_names)


def test_ground_truth_texts_of_ocr_programs_are_sidecars_too(run, tmp_path):
    fill_folder(tmp_path / "in", 1)
    (tmp_path / "in" / "000.txt").rename(tmp_path / "in" / "000.gt.txt")
    run(tmp_path / "in", "-o", tmp_path / "out")
    assert len(list_rows(tmp_path / "out")) == 1


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "messages", "imagefolder", "parquet", "saved"])
def test_each_form_that_training_reads_is_read(run, tmp_path, form):
    folder = tmp_path / "in"
    texts = fill_folder(folder, 3)
    for path in folder.glob("*.txt"):
        path.unlink()
    rows = [{"image_path": f"{n:03d}.png", "text": text, "writer": f"w{n}"} for n, text in enumerate(texts)]
    source = folder
    if form == "json":
        (folder / "metadata.json").write_text(json.dumps(rows), encoding="utf-8")
    elif form == "imagefolder":
        lines = [json.dumps({"file_name": row["image_path"], **row} | {"image_path": None}) for row in rows]
        (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    elif form in ("jsonl", "messages"):
        if form == "messages":
            rows = [
                {"images": [row["image_path"]], "writer": row["writer"],
                 "messages": [{"role": "user", "content": "<image>Read."}, {"role": "assistant", "content": row["text"]}]}
                for row in rows
            ]  # fmt: skip
        source = folder / "rows.jsonl"
        source.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    elif form == "csv":
        source = folder / "rows.csv"
        lines = ["image_path,text,writer", *(",".join(row.values()) for row in rows)]
        source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        import datasets

        made = [{"image": {"bytes": (folder / r["image_path"]).read_bytes(), "path": None}, "text": r["text"],
                 "writer": r["writer"]} for r in rows]  # fmt: skip
        table = datasets.Dataset.from_list(made)
        source = tmp_path / "made"
        source.mkdir()
        if form == "saved":
            table.save_to_disk(str(source))
        else:
            table.to_parquet(str(source / "train-00000-of-00001.parquet"))
    run(source, "-o", tmp_path / "out", "--keep", "writer")
    found = list_rows(tmp_path / "out")
    assert sorted((row["text"], row["writer"]) for row in found) == sorted((t, f"w{n}") for n, t in enumerate(texts))
    assert {row.get("prompt") for row in found} == {"Read." if form == "messages" else None}


def test_all_splits_of_a_source_are_read_and_divided_anew(run, tmp_path):
    for split, first in (("train", 0), ("val", 4), ("test", 6)):
        folder = tmp_path / "in" / split
        texts = fill_folder(folder, 2, first=first)
        rows = [{"image_path": f"{first + n:03d}.png", "text": text} for n, text in enumerate(texts)]
        (folder / "metadata.json").write_text(json.dumps(rows), encoding="utf-8")
    assert "6 rows: train 4, val 1, test 1" in run(tmp_path / "in", "-o", tmp_path / "out")


def test_a_page_of_page_xml_has_its_lines_in_reading_order(run, tmp_path):
    paste(tmp_path / "in", "scan.png", "first", "second")
    (tmp_path / "in" / "page").mkdir()
    text = PAGE.format(picture="scan.png", first="first", second="line")
    (tmp_path / "in" / "page" / "scan.xml").write_text(text, encoding="utf-8")
    run(tmp_path / "in", "-o", tmp_path / "out")
    (row,) = list_rows(tmp_path / "out")
    assert (row["text"], row["document"], row["origin"]) == ("first\nsecond line", "page/scan", "page/scan.xml")
    assert read_rejected(tmp_path / "out") == {}, "the picture is the layout file's"


def test_lines_of_a_page_are_cut_out_where_they_are(run, tmp_path):
    paste(tmp_path / "in", "scan.png", "first", "second")
    text = PAGE.format(picture="elsewhere.tif", first="first", second="line")
    (tmp_path / "in" / "scan.xml").write_text(text, encoding="utf-8")
    run(tmp_path / "in", "-o", tmp_path / "out", "--lines", "--group-by", "document")
    (rows,) = read_rows(tmp_path / "out").values()
    assert [(row["text"], row["origin"]) for row in rows] == [("first", "scan.xml#a1"), ("second line", "scan.xml#b1")]
    cut = Image.open(tmp_path / "out" / "train" / rows[1]["file_name"])
    assert cut.tobytes() == draw("second", seed=1).tobytes()


def test_alto_in_another_unit_is_scaled_to_the_picture(run, tmp_path):
    paste(tmp_path / "in", "scan.png", "first", "second")
    text = ALTO.format(picture="scan.png", first="one", second="two")
    (tmp_path / "in" / "scan.xml").write_text(text, encoding="utf-8")
    run(tmp_path / "in", "-o", tmp_path / "out", "--lines", "--group-by", "document")
    (rows,) = read_rows(tmp_path / "out").values()
    assert [row["text"] for row in rows] == ["one x-", "two"]
    assert Image.open(tmp_path / "out" / "train" / rows[1]["file_name"]).tobytes() == draw("second", seed=1).tobytes()


def test_lines_in_the_order_that_transkribus_writes():
    line = '<TextLine custom="readingOrder {{index:{};}}"><TextEquiv><Unicode>{}</Unicode></TextEquiv></TextLine>'
    lines = line.format(1, "b") + line.format(0, "a")
    layout = parse_layout(f'<PcGts><Page><TextRegion id="r">{lines}</TextRegion></Page></PcGts>'.encode(), "x.xml")
    assert [line.text for line in layout.lines] == ["a", "b"]


@pytest.mark.parametrize("ending", ["txt", "json"])
def test_pages_of_a_pdf_have_the_texts_of_a_list(run, tmp_path, ending):
    pytest.importorskip("pypdfium2")
    (tmp_path / "in").mkdir()
    pages = [draw(text, seed=n).convert("RGB") for n, text in enumerate(("one", "two", "three"))]
    pages[0].save(tmp_path / "in" / "book.pdf", save_all=True, append_images=pages[1:])
    texts = ["one", "two", "three", "four"]
    written = (
        "\f".join(texts[:2]) + "\f\n" if ending == "txt" else json.dumps([texts[0], {"text": "two"}, None, "four"])
    )
    (tmp_path / "in" / f"book.{ending}").write_text(written, encoding="utf-8")
    run(tmp_path / "in", "-o", tmp_path / "out", "--near", "0")
    rows = sorted(list_rows(tmp_path / "out"), key=lambda row: row["origin"])
    assert [(row["text"], row["origin"], row["document"]) for row in rows] == [
        ("one", "book.pdf page 1", "book"), ("two", "book.pdf page 2", "book")
    ]  # fmt: skip
    missing = {"book.pdf page 3": "no_text"} | ({"book.pdf page 4": "no_picture"} if ending == "json" else {})
    assert read_rejected(tmp_path / "out") == missing


def test_what_is_changed_is_changed_so_and_counted(run, tmp_path):
    folder = tmp_path / "in"
    fill_folder(folder, 5)
    exif = Image.Exif()
    exif[0x0112] = 6
    draw("turned", seed=50).save(folder / "000.jpg", exif=exif)
    (folder / "000.png").unlink()
    draw("tiff", seed=51).save(folder / "001.tif")
    (folder / "001.png").unlink()
    (folder / "002.txt").write_bytes("Cafe\u0301\r\nnext".encode())
    (folder / "003.txt").write_bytes(b"  padded\n")
    run(folder, "-o", tmp_path / "out")
    rows = {row["origin"]: row for row in list_rows(tmp_path / "out")}
    assert rows["002.png"]["text"] == "Caf\u00e9\nnext" and rows["003.png"]["text"] == "padded"
    changes = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))["changes"]
    assert changes == {"composed": 1, "line_ends": 1, "stripped": 1, "turned_upright": 1, "converted": 1}
    for split, found in read_rows(tmp_path / "out").items():
        for row in found:
            place = tmp_path / "out" / split / row["file_name"]
            assert Image.open(place).size == ((48, 240) if row["origin"] == "000.jpg" else (240, 48))
            if row["origin"] == "004.png":
                assert place.read_bytes() == (folder / "004.png").read_bytes(), "a sound picture keeps its bytes"


def test_columns_that_are_not_kept_are_named_and_mixed_types_become_text(run, tmp_path):
    texts = fill_folder(tmp_path / "in", 2)
    rows = [
        {"image_path": f"{n:03d}.png", "text": t, "year": year, "shelf": "s"}
        for n, (t, year) in enumerate(zip(texts, (1834, "1835?"), strict=True))
    ]
    (tmp_path / "in" / "metadata.json").write_text(json.dumps(rows), encoding="utf-8")
    said = run(tmp_path / "in", "-o", tmp_path / "out", "--keep", "year")
    assert "columns left out, which --keep would keep: shelf" in said
    assert sorted(row["year"] for row in list_rows(tmp_path / "out")) == ["1834", "1835?"]
    assert read_lines(tmp_path / "out" / "rejected.jsonl") == []
