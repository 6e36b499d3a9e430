"""Each promise is broken once, on purpose, by a collator that is healthy otherwise."""

from __future__ import annotations

import re
import secrets

import pytest
import torch

from preflight_ocr.harness.commands.fuzz.promises import find_breaches
from preflight_ocr.harness.commands.fuzz.samples import Page, Sample, Sheet, write_pages
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.training.collate import IGNORED

THIN = Page(width=4000, height=1)


def rows(bench, *texts, page=None):
    page = page or Page(width=100, height=60)
    texts = texts or ("first", "the second, longer one")
    return write_pages(Sample(sheets=tuple(Sheet(text=text, pages=(page,)) for text in texts)), bench.folder)


def broken(bench, given=None, *, forward=False):
    return {breach.promise for breach in find_breaches(bench, given or rows(bench), forward=forward)}


def changed(change):
    """A collator that lets `change(batch, rows)` spoil what the healthy one made."""

    def collate(inner, rows):
        batch = inner(rows)
        return change(batch, rows) or batch

    return collate


@pytest.mark.parametrize("name", ["qwen2_vl", "trocr", "idefics3"])
def test_the_healthy_collator_keeps_every_promise(open_bench, name):
    bench = open_bench(name)
    assert bench.is_own
    assert broken(bench, rows(bench, "", "x" * 40, "дом </s> <image>"), forward=True) == set()
    assert bench.taken == 1


def test_a_healthy_collator_of_somebody_else_keeps_every_promise(spoil):
    bench = spoil(changed(lambda batch, rows: None))
    assert not bench.is_own
    assert broken(bench, forward=True) == set()


def drop_a_row(batch, rows):
    return {name: value[:1] for name, value in batch.items()}


def spoil_a_pixel(batch, rows):
    batch["pixel_values"][0, 0] = float("nan")


def widen(batch, rows):
    if rows[0]["text"] != "usual":
        batch["pixel_values"] = batch["pixel_values"].double()


def draw_at_random(batch, rows):
    batch["pixel_values"] = batch["pixel_values"] + secrets.randbelow(10**6)


def cut_a_hole(batch, rows):
    batch["attention_mask"][:, -3] = 0


def forget_a_token_in_company(batch, rows):
    if len(rows) > 1:
        batch["attention_mask"][1, 0] = 0


def train_padding(batch, rows):
    batch["labels"] = torch.where(batch["attention_mask"] == 0, batch["input_ids"], batch["labels"])


def shift_labels(batch, rows):
    batch["labels"] = batch["labels"].roll(-1, 1)


def train_everything(batch, rows):
    batch["labels"] = torch.where(batch["attention_mask"] == 1, batch["input_ids"], IGNORED)


def lose_the_last_word(batch, rows):
    for labels in batch["labels"]:
        labels[(labels != IGNORED).nonzero().flatten()[-3:-1]] = IGNORED


@pytest.mark.parametrize(
    ("promise", "change"),
    [
        ("keeps-its-rows", drop_a_row),
        ("is-finite", spoil_a_pixel),
        ("has-one-form", widen),
        ("repeats-itself", draw_at_random),
        ("attends-to-all-that-is-real", cut_a_hole),
        ("is-the-same-in-any-batch", forget_a_token_in_company),
        ("trains-no-padding", train_padding),
        ("labels-are-the-tokens", shift_labels),
        ("trains-no-placeholder", train_everything),
        ("trains-target-and-end-only", train_everything),
        ("keeps-the-text", lose_the_last_word),
        ("takes-its-rows", lambda batch, rows: list(batch)),
        ("stays-on-the-cpu", lambda batch, rows: {**batch, "pixel_values": batch["pixel_values"].to("meta")}),
    ],
)
def test_a_spoiled_batch_of_somebody_elses_collator_is_told(spoil, promise, change):
    assert promise in broken(spoil(changed(change)))


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(
    ("promise", "text"), [("keeps-its-placeholders", "a <|image_pad|> b"), ("ends-once", "a <|im_end|> b")]
)
def test_text_that_is_tokenized_with_its_control_tokens_is_told(spoil, promise, text, own):
    def tokenize_naively(inner, rows):
        protected, inner._protected = inner._protected, re.compile("(?!)")
        try:
            return inner(rows)
        finally:
            inner._protected = protected

    bench = spoil(tokenize_naively, own=own)
    assert promise in broken(bench, rows(bench, text))
    assert broken(bench, rows(bench, "a b")) == set()


def refuse(message, kind=UserError):
    def collate(inner, rows):
        raise kind(message.format(path=rows[0]["image_path"], text=repr(rows[0]["text"])))

    return collate


@pytest.mark.parametrize(
    ("message", "page", "found"),
    [
        ("this cannot be", THIN, {"names-the-row-it-refuses"}),
        ("{path} is too thin", THIN, set()),
        ("the row with {text} is too thin", THIN, set()),
        ("{path} is not to my taste", None, {"takes-its-rows"}),
        ("{path} is longer than max_seq_length allows", None, set()),
    ],
)
def test_ours_may_refuse_an_extreme_page_and_has_to_name_it(spoil, message, page, found):
    bench = spoil(refuse(message), own=True)
    assert broken(bench, rows(bench, "a", page=page)) == found


def test_ours_may_never_raise_what_is_not_meant_for_a_user(spoil):
    bench = spoil(refuse("{path}", ZeroDivisionError), own=True)
    assert broken(bench, rows(bench, "a", page=THIN)) == {"takes-its-rows"}


@pytest.mark.parametrize(("page", "found"), [(THIN, set()), (None, {"takes-its-rows"})])
def test_somebody_elses_may_raise_for_an_extreme_page_only(spoil, page, found):
    bench = spoil(refuse("no", IndexError))
    assert broken(bench, rows(bench, "a", page=page)) == found


def test_ours_may_not_silently_take_one_of_several_pictures(spoil, open_bench):
    def take_the_first(inner, rows):
        return inner([{**row, "image_path": row["image_path"][0]} for row in rows])

    pages = (Page(width=100, height=60), Page(width=60, height=100))
    bench = spoil(take_the_first, own=True)
    given = write_pages(Sample(sheets=(Sheet(text="a", pages=pages),)), bench.folder)
    assert broken(bench, given) == {"one-picture-a-row"}
    assert broken(open_bench("qwen2_vl"), given) == set()


def test_a_batch_that_the_model_does_not_take_is_told(spoil):
    bench = spoil(changed(lambda batch, rows: {k: v for k, v in batch.items() if k != "image_grid_thw"}))
    assert broken(bench) == set()
    assert broken(bench, forward=True) == {"is-taken-by-the-model"}


def test_a_loss_that_is_no_number_is_told(spoil):
    def train_nothing(batch, rows):
        batch["labels"].fill_(IGNORED)

    assert "has-a-finite-loss" in broken(spoil(changed(train_nothing)), forward=True)


def test_features_that_land_beside_their_placeholders_are_told(spoil):
    def shift_the_mask(batch, rows):
        batch["images_seq_mask"] = batch["images_seq_mask"].roll(2, 1)

    bench = spoil(changed(shift_the_mask), name="deepseek_ocr")
    assert "has-a-placeholder-for-each-feature" in broken(bench, forward=True)
    assert broken(spoil(changed(lambda batch, rows: None), name="deepseek_ocr"), forward=True) == set()
