from __future__ import annotations

import pytest
from markupsafe import Markup

from preflight_ocr.reports.page.text import fold_repeats, mark_code, reveal, spell, spell_seconds


def test_what_cannot_be_seen_is_shown():
    assert reveal("a\x00b\x1b[2J\x7f") == "a\u2400b\u241b[2J\u2421"
    assert reveal("\u202egpj.exe") == "\u27e8U+202E\u27e9gpj.exe"
    assert (
        reveal("\u200b\ufeff\u2028\x85") == "\u27e8U+200B\u27e9\u27e8U+FEFF\u27e9\u27e8U+2028\u27e9\u27e8U+0085\u27e9"
    )


def test_half_a_surrogate_pair_can_be_written_to_a_file():
    assert reveal("a\ud800b").encode("utf-8").decode("utf-8") == "a\u27e8U+D800\u27e9b"


@pytest.mark.parametrize("text", ["Жили-были", "\u0645\u0631\u062d\u0628\u0627", "two\nlines\tand a tab", "\U0001f600"])
def test_ordinary_text_of_any_script_is_left_alone(text):
    assert reveal(text) == text


def test_markup_of_our_own_and_what_is_no_text_pass():
    assert reveal(Markup("<b>\u202e</b>")) == Markup("<b>\u202e</b>")
    assert reveal(7) == 7


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("\n", "\u21b5"),
        (" the", "\u2423the"),
        ("  ", "\u2423\u2423"),
        ("a b", "a b"),
        ("\t", "\u21e5"),
        ("\x00", "\u2400"),
        ("", ""),
    ],
)
def test_a_token_shows_its_blanks(token, shown):
    assert spell(token) == shown


def test_backticks_become_code_and_everything_in_them_is_escaped():
    assert mark_code("seen `<b>`, <i>") == Markup("seen <code>&lt;b&gt;</code>, &lt;i&gt;")
    assert mark_code("`a`\u202e") == Markup("<code>a</code>\u27e8U+202E\u27e9")


def test_a_backtick_without_its_pair_stays():
    assert mark_code("don`t <b>") == Markup("don`t &lt;b&gt;")


def test_a_token_that_stands_many_times_in_a_row_is_shown_once_with_its_number():
    assert fold_repeats("word<pad><pad><pad><pad> <pad>") == 'word&lt;pad&gt;<span class="dim"> x 5</span>'
    assert fold_repeats("<pad><pad><pad>") == "&lt;pad&gt;" * 3
    assert fold_repeats("a...... <b>") == "a...... &lt;b&gt;"


@pytest.mark.parametrize(("seconds", "said"), [(0.42, "0.4 s"), (27.3, "27 s"), (250, "4 min 10 s")])
def test_durations_are_spelled_as_people_read_them(seconds, said):
    assert spell_seconds(seconds) == said
