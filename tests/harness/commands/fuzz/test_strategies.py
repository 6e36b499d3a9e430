"""That what the issue asks for is really drawn."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample

from preflight_ocr.harness.commands.fuzz.strategies import MODES, draw_pages, draw_samples, draw_texts

LONG = settings(
    max_examples=2000,
    database=None,
    derandomize=True,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
SHORT = settings(LONG, max_examples=200)
TYPED = ("<image>", "</s>")


@pytest.mark.parametrize("size", [(1, 1), (4000, 500), (500, 4000), (4000, 1)])
def test_pages_of_extreme_sizes_are_drawn(size):
    assert find(draw_pages(), lambda page: (page.width, page.height) == size, settings=LONG)


@pytest.mark.parametrize("mode", MODES)
def test_pages_of_every_mode_are_drawn(mode):
    assert find(draw_pages(), lambda page: page.mode == mode and page.orientation > 1, settings=LONG)


def test_an_ordinary_page_is_never_thin():
    with pytest.raises(NoSuchExample):
        find(
            draw_pages(ordinary=True),
            lambda page: min(page.width, page.height) < 32 or page.aspect > 30,
            settings=SHORT,
        )


@pytest.mark.parametrize(
    "wanted",
    [
        lambda text: text == "",
        lambda text: len(text) > 400,
        lambda text: "<image>" in text and "</s>" in text,
        lambda text: any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in text),
        lambda text: any("CYRILLIC" in unicodedata.name(letter, "") for letter in text),
        lambda text: any(unicodedata.combining(letter) for letter in text),
        lambda text: "\u200d" in text,
        lambda text: any(ord(letter) > 0xFFFF for letter in text),
        lambda text: "\x00" in text,
    ],
    ids=["empty", "long", "typed", "right-to-left", "cyrillic", "combining", "joined-emoji", "astral", "nul"],
)
def test_texts_of_every_kind_are_drawn(wanted):
    assert wanted(find(draw_texts(TYPED), wanted, settings=LONG))


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_rows_with_up_to_three_pages_are_drawn(count):
    assert find(draw_samples(typed=TYPED), lambda s: any(len(x.pages) == count for x in s.sheets), settings=LONG)


@pytest.mark.parametrize(("left_out", "count"), [("bare", 0), ("several", 2)])
def test_what_a_foreign_collator_never_sees_is_left_out_on_request(left_out, count):
    strategy = draw_samples(typed=(), **{left_out: False})
    with pytest.raises(NoSuchExample):
        find(strategy, lambda s: any(len(x.pages) == count for x in s.sheets), settings=SHORT)


def test_no_text_holds_a_lone_surrogate():
    with pytest.raises(NoSuchExample):
        find(draw_texts(()), lambda text: any("\ud800" <= letter <= "\udfff" for letter in text), settings=SHORT)
