from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

from preflight_ocr.harness.check.sandboxes import open_sandbox
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.isolation import Returned
from preflight_ocr.probes.workbench.assembly import SAMPLED_ROWS, choose_sample, read_rows, restore_form, take_apart


@pytest.fixture
def draw(tmp_path):
    def rows(*sizes):
        made = []
        for index, (width, height, text) in enumerate(sizes):
            path = tmp_path / f"{index}.png"
            Image.new("RGB", (width, height), "white").save(path)
            made.append({"image_path": str(path), "text": text})
        return made

    return rows


def texts(rows):
    return [row["text"] for row in rows]


def test_the_most_elongated_the_largest_and_the_wordiest_page_are_looked_at_in_file_order(draw):
    rows = draw((10, 10, "a"), (20, 20, "large"), (10, 11, "b"), (60, 2, "long"), (10, 10, "many words"))
    assert texts(choose_sample(rows)) == ["large", "long", "many words"]


def test_a_row_that_wins_twice_leaves_its_place_to_another(draw):
    rows = draw((10, 10, "a"), (90, 9, "wins everything"), (10, 10, "b"), (10, 10, "c"))
    assert texts(choose_sample(rows)) == ["a", "wins everything", "b"]
    assert len(choose_sample(rows)) == SAMPLED_ROWS


def test_rows_that_cannot_be_opened_are_passed_over(draw, tmp_path):
    good = draw((10, 10, "good"))
    (tmp_path / "bad.png").write_bytes(b"no image")
    bad = [{"text": "none"}, {"image_path": str(tmp_path / "gone.png")}, {"image_path": str(tmp_path / "bad.png")}]
    cut = tmp_path / "cut.png"
    Image.effect_noise((50, 50), 40).convert("RGB").save(cut)
    cut.write_bytes(cut.read_bytes()[:600])
    assert texts(choose_sample([*bad, {"image_path": str(cut), "text": "cut"}, *good])) == ["good"]


def test_rows_of_another_form_are_passed_over_and_not_tripped_over(draw, tmp_path):
    [good] = draw((10, 10, "good"))
    odd = [
        {"image_path": value, "text": "odd"} for value in (10**30, 1e308, True, {"a": 1}, [], [[]], "\0", "x" * 5000)
    ]
    listing = json.dumps([True, "row", [], None, *odd, good, {"ground_truth": "[" * 100_000}])
    (tmp_path / "metadata.json").write_text(listing, encoding="utf-8")
    rows = read_rows(tmp_path)
    assert len(rows) == len(odd) + 2
    assert texts(choose_sample(rows)) == ["good"]


def test_a_picture_larger_than_pillow_allows_is_passed_over(draw, monkeypatch):
    rows = draw((40, 40, "bomb"), (10, 10, "good"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    assert texts(choose_sample(rows)) == ["good"]


def test_no_row_that_can_be_opened_is_an_error():
    with pytest.raises(ValueError, match="no row has an image that can be opened"):
        choose_sample([{"text": "a"}])


def test_image_paths_are_relative_to_the_metadata_file(tmp_path):
    rows = [{"image_path": "a/b.png", "text": "x"}, {"text": "no image"}]
    (tmp_path / "metadata.json").write_text(json.dumps(rows), encoding="utf-8")
    first, second = read_rows(tmp_path)
    assert first == {"image_path": str(tmp_path / "a" / "b.png"), "text": "x"}
    assert second == {"text": "no image"}


def test_no_train_path_says_which_key_is_missing():
    with pytest.raises(FileNotFoundError, match=r"data\.train_path"):
        read_rows(None)


def test_trust_is_what_was_given_and_not_what_the_file_says(project):
    assert load_config(project, trust=False).model.trust_remote_code is False


def test_the_healthy_project_is_recognised_without_a_processor(healthy):
    assert healthy.family is not None
    assert healthy.tokenizer is healthy.processor
    assert len(healthy.sample) == SAMPLED_ROWS
    assert "images_seq_mask" in healthy.forward_names


def test_remote_code_is_found_where_the_starting_process_has_loaded_remote_code_too(project, tmp_path, monkeypatch):
    """transformers leaves its own copies of remote code on the path, and children inherit the path."""
    (tmp_path / "cache" / "transformers_modules").mkdir(parents=True)
    (tmp_path / "cache" / "transformers_modules" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "cache")
    with open_sandbox() as sandbox:
        arguments = {"config_path": str(project), "trust": True, "folder": str(tmp_path)}
        ended = sandbox.run("preflight_ocr.probes.forward.forward:observe", arguments)
    assert isinstance(ended, Returned), ended
    assert (ended.value["loading"], ended.value["given"]) == (None, "ok")


def test_two_seeded_batches_of_the_same_rows_are_the_same(healthy):
    def collate(rows):
        import random

        return {"numbers": [random.random() for _ in rows]}

    assert healthy.seeded(collate, healthy.sample) == healthy.seeded(collate, healthy.sample)


def test_a_collator_that_changes_its_rows_does_not_change_ours(healthy):
    before = [dict(row) for row in healthy.sample]
    healthy.seeded(lambda rows: {"x": [row.clear() for row in rows]}, healthy.sample)
    assert [dict(row) for row in healthy.sample] == before


def test_a_row_of_another_form_gets_our_names_and_is_given_back_in_its_own(tmp_path):
    rows = [{"image": "a.png", "question": "What?", "answer": "one"}]
    (tmp_path / "metadata.json").write_text(json.dumps(rows), encoding="utf-8")
    [row] = read_rows(tmp_path)
    assert (row["image_path"], row["text"]) == (str(tmp_path / "a.png"), "one")
    assert restore_form(row) == {**rows[0], "image": str(tmp_path / "a.png")}
    assert restore_form({**row, "image_path": "b.png", "text": "two"}) == {**rows[0], "image": "b.png", "answer": "two"}


def test_a_pair_of_inputs_and_labels_is_one_batch_and_anything_else_is_said(tmp_path):
    ids = torch.ones(1, 2)
    assert take_apart(({"input_ids": ids}, ids)) == {"input_ids": ids, "labels": ids}
    with pytest.raises(TypeError, match="the batch is a tuple without names"):
        take_apart((ids, ids, ids))


def test_rows_without_a_page_are_passed_over(draw):
    assert texts(choose_sample([{"image_path": None, "text": "none"}, *draw((10, 10, "good"))])) == ["good"]
