"""Error rates, compared with what is counted by hand."""

from __future__ import annotations

import pytest

from preflight_ocr.harness.training.scores import (
    compare,
    list_confusions,
    name_length,
    name_script,
    normalise,
    score_row,
    summarise,
)


def test_edits_are_counted_and_pieces_put_together_give_both_texts():
    score = score_row("kitten sits", "sitting sits")
    assert (score.edits, score.characters, score.word_edits, score.words) == (3, 11, 1, 2)
    assert "".join(piece.true for piece in score.pieces) == "kitten sits"
    assert "".join(piece.read for piece in score.pieces) == "sitting sits"


def test_white_space_at_the_ends_counts_unless_it_is_normalised_away():
    assert score_row("a b", " a  b\n").edits == 3
    assert score_row("a b", normalise(" a  b\n", ["whitespace"])).edits == 0


@pytest.mark.parametrize(("true", "read", "cer"), [("", "", 0), ("", "ab", 2), ("ab", "", 1), ("ab", "abab", 1)])
def test_empty_texts_and_texts_that_are_too_long_have_a_rate(true, read, cer):
    assert score_row(true, read).cer == cer


def test_a_normalisation_does_what_its_name_says():
    assert normalise("e\u0301", ["nfc"]) == "\u00e9" and normalise("\ufb01", ["nfkc"]) == "fi"
    assert normalise("STRASSE", ["casefold"]) == normalise("straße", ["casefold"])


def test_one_long_row_weighs_by_its_characters_and_one_runaway_does_not_rule_the_mean():
    scores = [score_row("a" * 90, "a" * 90), score_row("b" * 10, "c" * 200)]
    found = summarise(scores)
    assert found.cer.value == 2.0 and found.clipped.value == 0.5 and found.exact.value == 0.5
    assert found.median.value == 10.0


def test_the_interval_holds_the_figure_is_the_same_again_and_narrows_with_more_rows():
    few = [score_row("abcd", read) for read in ("abcd", "abcx", "abxx", "xxxx")]
    small, large = summarise(few).cer, summarise(few * 25).cer
    assert small.low < small.value < small.high and small == summarise(few).cer
    assert large.high - large.low < (small.high - small.low) / 2


def test_a_change_is_told_by_pairs_of_the_same_rows():
    before = [score_row("abcdefgh", "x" * number + "abcdefgh"[number:]) for number in range(1, 9)]
    after = [score_row("abcdefgh", "x" * (number - 1) + "abcdefgh"[number - 1 :]) for number in range(1, 9)]
    change = compare(before, after)
    assert change.low == change.value == change.high == -1 / 8, "each row has one edit less, whichever are drawn"


def test_confusions_are_single_characters_with_how_often():
    found = list_confusions(
        [score_row("oil", "0il"), score_row("no", "n0"), score_row("ab", "b"), score_row("a", "ac")]
    )
    assert [(one.true, one.read, one.times) for one in found] == [("o", "0", 2), ("a", "", 1), ("", "c", 1)]


def test_rows_are_grouped_by_length_and_by_the_script_of_most_letters():
    assert [name_length("a" * n) for n in (0, 20, 21, 1281)] == ["0-20", "0-20", "21-80", "1281 and more"]
    assert [name_script(text) for text in ("дом x", "word", "12 %", "漢字")] == ["CYRILLIC", "LATIN", "none", "CJK"]
