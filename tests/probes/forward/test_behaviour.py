from __future__ import annotations

import types

import pytest
import torch
from PIL import Image

from preflight_ocr.harness.facts import Behaviour, Unknown
from preflight_ocr.harness.families.anatomy import read_anatomy
from preflight_ocr.probes.forward.behaviour import look_at_behaviour
from preflight_ocr.probes.workbench.batches import RowReader
from preflight_ocr.probes.workbench.calls import call
from tests.support.toys import IMAGE, PAD, Toy


class Words:
    """Ids are written in the text."""

    bos_token_id, eos_token_id, pad_token_id = 1, None, PAD

    def encode(self, text, add_special_tokens=True):
        return [int(word) for word in text.split()]

    def decode(self, ids, skip_special_tokens=False):
        return " ".join(map(str, ids))


class Masked(Toy):
    """A toy that heeds the attention mask."""

    def forward(self, input_ids, pixels=None, attention_mask=None):
        embedded = self.enter(input_ids, pixels, input_ids == IMAGE)
        weights = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        hidden = (embedded * weights[..., None]).cumsum(1)
        return {"logits": self.head(torch.tanh(hidden))}


def collate(rows):
    """Two placeholders and the text, padded on the left; a picture is its mean colour and its first pixel."""
    ids = [[1, IMAGE, IMAGE, *Words().encode(row["text"])] for row in rows]
    length = max(map(len, ids))
    pixels = []
    for row in rows:
        with Image.open(row["image_path"]) as picture:
            pixels.append([[v / 255 for v in picture.getpixel((0, 0))], [v / 255 for v in picture.getpixel((3, 3))]])
    return {
        "input_ids": torch.tensor([[PAD] * (length - len(row)) + row for row in ids]),
        "pixels": torch.tensor(pixels),
        "attention_mask": torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in ids]),
    }


@pytest.fixture
def look(tmp_path):
    rows = []
    for index, text in enumerate(("3 4 5", "6 7")):
        path = tmp_path / f"{index}.png"
        Image.new("RGB", (4, 4), (40 * index + 20, 90, 200)).save(path)
        rows.append({"image_path": str(path), "text": text})

    def change_page(row, path, apply):
        with Image.open(row["image_path"]) as page:
            apply(page.convert("RGB")).save(path)
        return {**row, "image_path": str(path)}

    def run(model, collate=collate):
        model.eval()
        parts = types.SimpleNamespace(
            bare=model,
            built=types.SimpleNamespace(cut=()),
            anatomy=read_anatomy(model),
            tokenizer=Words(),
            reader=RowReader(Words(), image_token_id=IMAGE, mask_argument=None),
            image_token_id=IMAGE,
            reference=None,
            sample=tuple(rows),
            family=None,
            seeded=lambda make, some: make([dict(row) for row in some]),
            change_page=change_page,
        )
        batch = collate(rows)
        return look_at_behaviour(parts, batch, call(model, batch)["logits"], collate=collate, repaired=())

    return run


def test_in_a_healthy_model_everything_reaches_its_own_row_only(look):
    assert look(Masked()) == Behaviour(
        text_reaches=(True, True), image_reaches=(True, True), image_leaks=(), padding_changes=False
    )


def test_a_model_that_ignores_its_images_is_told(look):
    class Blind(Masked):
        def enter(self, input_ids, pixels, marked):
            return self.words(input_ids)

    assert look(Blind()).image_reaches == (False, False)


def test_a_model_that_overwrites_its_text_is_told(look):
    class Deaf(Masked):
        def enter(self, input_ids, pixels, marked):
            return self.vision(pixels).mean(1, keepdim=True).expand(-1, input_ids.shape[1], -1)

    assert look(Deaf()).text_reaches == (False, False)


def test_an_image_that_leaks_into_another_row_is_told(look):
    class Leaking(Masked):
        def enter(self, input_ids, pixels, marked):
            return super().enter(input_ids, pixels + pixels[:1] * torch.tensor([0.0, 1.0])[:, None, None], marked)

    found = look(Leaking())
    assert found.image_leaks == ((0, 1),)
    assert isinstance(found.padding_changes, Unknown)  # this model cannot take one row alone


def test_padding_that_changes_a_row_is_told(look):
    class Careless(Masked):
        def forward(self, input_ids, pixels=None, attention_mask=None):
            shift = (input_ids == PAD).sum(1)[:, None, None]
            return {"logits": super().forward(input_ids, pixels, attention_mask)["logits"] + shift}

    assert look(Careless()).padding_changes is True


def test_rows_of_one_length_have_no_padding_to_look_at(look):
    def even(rows):
        return collate([{**row, "text": "3 4"} for row in rows])

    assert isinstance(look(Masked(), even).padding_changes, Unknown)


def test_a_collator_that_builds_a_row_otherwise_when_it_is_alone_says_nothing_about_padding(look):
    def longer_first(rows):
        return collate([{**rows[0], "text": "3 4 5 6 7"}, *rows[1:]])

    found = look(Masked(), longer_first)
    assert isinstance(found.padding_changes, Unknown)
    assert "other tokens" in found.padding_changes.reason


def test_a_row_that_raises_when_it_is_changed_leaves_a_reason(look):
    calls = []

    def fragile(rows):
        calls.append(1)
        if len(calls) > 1:
            raise ValueError("only once")
        return collate(rows)

    found = look(Masked(), fragile)
    assert isinstance(found, Unknown) and "only once" in found.reason
