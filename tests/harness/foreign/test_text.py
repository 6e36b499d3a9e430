from __future__ import annotations

import pytest

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.facts import KeyFact, Unknown
from preflight_ocr.harness.foreign.text import LONGEST, clean, clean_line, clean_value


@pytest.mark.parametrize(
    "acting", ["\x1b[2J", "\x07", "\r", "\x85", "\u202e", "\u2066", "\u200f", "\u2028", "\ud800", "\udcff"]
)
def test_what_a_terminal_would_act_on_is_shown_and_never_sent(acting):
    for text in (clean(f"a{acting}b"), Unknown(reason=f"a{acting}b").reason, str(UserError(f"a{acting}b"))):
        assert acting[0] not in text
        assert text.startswith("a\\") and text.endswith("b")
    assert acting[0] not in KeyFact(path=acting, nearest=None, detail="").path


@pytest.mark.parametrize(
    "colour", ["\x1b[1m", "\x1b[0m", "\x1b[m", "\x1b[38;5;208m", "\x1b[1;31m", "\x1b[38:2::255:0:0m"]
)
def test_the_colours_of_a_library_s_message_are_taken_out(colour):
    for text in (clean(f"{colour}MISSING{colour}: a"), Unknown(reason=f"{colour}MISSING{colour}: a").reason):
        assert text == "MISSING: a"


def test_what_is_left_beside_a_colour_is_no_command_of_a_terminal():
    assert clean("a\x1b\x1b[1m[2Jb") == "a\\x1b[2Jb"


def test_names_that_differ_by_a_colour_are_told_apart():
    assert clean_line("a\x1b[1mb") == "a\\x1b[1mb"
    assert clean_value({"a": 1, "\x1b[1ma": 2}) == {"a": 1, "\\x1b[1ma": 2}


def test_letters_of_every_script_stay_as_they_are():
    text = "Привет, 世界, שלום, مرحبا, नमस्ते, a\u200cb, <｜▁｜>\tand\na line"
    assert clean(text) is text or clean(text) == text


def test_a_text_that_is_too_long_is_cut_and_says_so():
    cleaned = Unknown(reason="x" * (LONGEST + 5)).reason
    assert len(cleaned) < LONGEST + 50
    assert cleaned.endswith("(5 more characters)")


def test_a_name_stays_on_its_line():
    assert clean_line("out\nCLEAR: no findings") == "out\\nCLEAR: no findings"
