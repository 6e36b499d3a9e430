from __future__ import annotations

import base64
import io
from pathlib import Path

import msgspec
import numpy
import pytest
import torch
from PIL import Image, ImageOps

from preflight_ocr.fixtures.corpus.models import find_model_obstacle
from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.check.check import check
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.facts.illustrations import Illustrations
from preflight_ocr.harness.training.images import open_image
from preflight_ocr.probes.batch import illustrations as pictures
from preflight_ocr.probes.workbench.assembly import Assembly

DRAWN = ("qwen2_vl", "donut", "trocr", "pix2struct", "kosmos2_5", "internvl", "llava_next", "idefics3", "deepseek_ocr2")


@pytest.fixture
def assemble(tmp_path):
    def make(model, *faults):
        if obstacle := find_model_obstacle(model):
            pytest.skip(obstacle)
        return Assembly(write_project(tmp_path / "project", faults, model=model), trust=True, folder=tmp_path)

    return make


def open_png(picture):
    return Image.open(io.BytesIO(base64.b64decode(picture.png))).convert("RGB")


def distance(picture, page):
    """Mean difference, in levels of 0..255, between a view and the page padded or stretched to its size."""
    shown = open_png(picture)
    grounds = [(0, 0, 0), (127, 127, 127), (255, 255, 255)]
    candidates = [page.resize(shown.size), *(ImageOps.pad(page, shown.size, color=ground) for ground in grounds)]
    return min(float(numpy.abs(numpy.asarray(c, float) - numpy.asarray(shown, float)).mean()) for c in candidates)


@pytest.mark.parametrize("model", DRAWN)
def test_a_whole_page_is_drawn_for_every_row_and_looks_like_the_page(assemble, model):
    parts = assemble(model)
    shown = pictures.show_rows(parts)
    assert len(shown.rows) == len(parts.sample)
    for row, illustration in zip(parts.sample, shown.rows, strict=True):
        whole = [view for view in illustration.views if view.is_whole]
        assert len(whole) == 1
        assert illustration.remarks == ()
        assert illustration.tokens
        if parts.reference.intake.mean is not None:
            assert distance(whole[0], open_image(Path(row["image_path"]))) < 12
            assert all(view.clipped < 0.005 for view in illustration.views)


def test_the_tiles_of_a_page_lie_in_the_columns_that_the_batch_says(project, tmp_path):
    parts = Assembly(project, trust=True, folder=tmp_path)
    shown = pictures.show_rows(parts)
    tiling = parts.seeded(parts.collate, parts.sample)["images_spatial_crop"].tolist()
    assert [row.columns for row in shown.rows] == [across for across, _ in tiling]
    assert [sum(not view.is_whole for view in row.views) for row in shown.rows] == [a * d for a, d in tiling]


def test_a_view_that_was_normalised_otherwise_has_the_wrong_colours(assemble):
    parts = assemble("qwen2_vl")
    right = pictures.show_rows(parts)
    collate = parts.collate
    parts.__dict__["collate"] = lambda rows: {**collate(rows), "pixel_values": 2 * collate(rows)["pixel_values"] - 1}
    wrong = pictures.show_rows(parts)
    page = open_image(Path(parts.sample[0]["image_path"]))
    assert wrong.rows[0].views[0].clipped > 0.1 > right.rows[0].views[0].clipped
    assert distance(wrong.rows[0].views[0], page) > 2 * distance(right.rows[0].views[0], page)


def test_patches_that_do_not_fit_their_grid_are_told_and_not_drawn(assemble):
    parts = assemble("qwen2_vl")
    collate = parts.collate
    parts.__dict__["collate"] = lambda rows: {**collate(rows), "image_grid_thw": torch.tensor([[1, 1, 588]] * 3)}
    shown = pictures.show_rows(parts)
    assert all(row.views == () for row in shown.rows)
    assert "do not fit the grid" in shown.rows[0].remarks[0]
    assert shown.rows[0].original is not None


def test_pictures_of_nothing_but_zeros_are_told(assemble):
    parts = assemble("donut")
    collate = parts.collate
    parts.__dict__["collate"] = lambda rows: {**collate(rows), "pixel_values": torch.zeros(3, 3, 128, 160)}
    shown = pictures.show_rows(parts)
    assert shown.rows[0].remarks == ("This row has no picture: every view of it is all zeros.",)


def test_pictures_of_bytes_and_of_nan_are_drawn_as_they_are(assemble):
    parts = assemble("donut")
    collate = parts.collate

    def spoil(rows):
        pixels = torch.full((3, 3, 128, 160), 200, dtype=torch.uint8)
        return {**collate(rows), "pixel_values": pixels}

    parts.__dict__["collate"] = spoil
    (view,) = pictures.show_rows(parts).rows[0].views
    assert view.clipped == 1.0
    assert open_png(view).getpixel((5, 5)) == (255, 255, 255)
    parts.__dict__["collate"] = lambda rows: {
        **collate(rows),
        "pixel_values": collate(rows)["pixel_values"] * float("nan"),
    }
    assert "not finite" in pictures.show_rows(parts).rows[0].remarks[0]


def test_an_undeclared_model_is_drawn_with_what_its_image_processor_says(assemble, monkeypatch):
    parts = assemble("donut")
    parts.__dict__["family"] = None
    parts.__dict__["collate"] = lambda rows: ours(rows)
    ours = assemble("donut").reference
    assert parts.reference is None
    shown = pictures.show_rows(parts)
    assert "mean 0.5, 0.5, 0.5" in shown.colours
    assert all(row.views[0].is_whole for row in shown.rows)


def test_without_a_declared_mean_the_page_is_told_to_be_stretched(assemble):
    shown = pictures.show_rows(assemble("pix2struct"))
    assert "stretched" in shown.colours
    assert all(view.clipped == 0 for row in shown.rows for view in row.views)


def test_a_large_noisy_page_becomes_a_small_png():
    noise = Image.fromarray(numpy.random.default_rng(0).integers(0, 255, (1500, 2500, 3), dtype=numpy.uint8))
    data = base64.b64decode(pictures._encode(noise, pictures.WHOLE_SIDE))
    assert len(data) <= pictures.MOST_BYTES
    assert 80 <= max(Image.open(io.BytesIO(data)).size) <= pictures.WHOLE_SIDE


def test_a_page_of_many_views_says_how_many_are_left_out(assemble, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_VIEWS", 2)
    shown = pictures.show_rows(assemble("internvl"))
    assert all(len(row.views) == 2 and row.left_out > 0 for row in shown.rows)


def test_tokens_are_spelled_with_their_blanks_and_a_shifted_label_is_seen(assemble):
    parts = assemble("qwen2_vl")
    collate = parts.collate
    row = pictures.show_rows(parts).rows[0]
    facts = parts.reader.read(collate(parts.sample), parts.sample)[0]
    assert len(row.tokens) == len(facts.roles)
    text = "".join(token.text for token, role in zip(row.tokens, facts.roles, strict=True) if role == "t")
    assert text == parts.sample[0]["text"]
    assert not any(token.label for token in row.tokens)

    def shift(rows):
        batch = dict(collate(rows))
        return {**batch, "labels": batch["labels"].roll(1, 1)}

    parts.__dict__["collate"] = shift
    shifted = pictures.show_rows(parts).rows[0]
    assert any(token.label for token in shifted.tokens)


def test_pictures_leave_the_facts_and_their_digest_as_they_are(project, sandbox):
    config = load_config(project)
    plain = check(config, trust=True, sandbox=sandbox, only=("COL001",))
    shown = check(config, trust=True, sandbox=sandbox, only=("COL001",), illustrated=True)
    assert plain.facts.digest() == shown.facts.digest()
    assert isinstance(plain.illustrations, Unknown)
    assert isinstance(shown.illustrations, Illustrations)
    size = len(msgspec.json.encode(shown.illustrations))
    assert 10_000 < size < 3 * (pictures.MOST_VIEWS + 1) * pictures.MOST_BYTES * 2


def test_a_collator_that_raises_leaves_a_reason_and_its_facts(tmp_path, sandbox):
    path = write_project(tmp_path / "project", ["chain-02"])
    shown = check(load_config(path), trust=True, sandbox=sandbox, only=("PRC001",), illustrated=True)
    assert isinstance(shown.illustrations, Unknown)
    assert "no pictures could be made" in shown.illustrations.reason
    assert [finding.code for finding in shown.findings] == ["PRC001"]
