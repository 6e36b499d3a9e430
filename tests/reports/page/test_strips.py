from __future__ import annotations

import msgspec

from preflight_ocr.harness.facts import Landing, Raised, Repair, Unknown
from preflight_ocr.harness.facts.illustrations import RowIllustration, TokenText
from preflight_ocr.reports.page.strips import draw_strips
from tests.specimens import HEALTHY, altered, write_row


def draw(row, landing, tokens=()):
    facts = altered(HEALTHY, {"collator.batch.rows": (row,), "forward.landing": (landing,)})
    (strip,) = draw_strips(facts, (RowIllustration(tokens=tokens),))
    return strip


def test_a_healthy_row_is_five_runs_with_features_in_the_image():
    row = write_row("b" + "i" * 273 + "pp" + "ttt" + "e", target="abc")
    strip = draw(row, Landing(row=0, placeholders=273, features=273, landed="0" + "1" * 273 + "0" * 6))
    assert [run.short for run in strip.runs] == ["BOS", "image 273", "prompt 2", "target 3", "EOS"]
    assert [run.landed for run in strip.runs] == [False, True, False, False, False]
    assert [run.span for run in strip.runs] == ["0", "1-273", "274-275", "276-278", "279"]
    assert not any(run.wrong for run in strip.runs)
    assert strip.notes == ()


def test_a_longer_run_is_wider_and_fits_a_class_of_the_style_sheet():
    row = write_row("b" + "i" * 100_000 + "pp" + "ttt" + "e", target="abc")
    widths = [run.width for run in draw(row, Landing(row=0, placeholders=1, features=1, landed="0")).runs]
    assert widths[0] < widths[2] < widths[3] < widths[1] <= 40


def test_features_that_land_elsewhere_are_marked_wrong():
    strip = draw(write_row("biippte", target="a"), Landing(row=0, placeholders=2, features=2, landed="0011000"))
    assert [(run.short, run.landed) for run in strip.runs if run.wrong] == [("image", False), ("prompt", True)]


def test_a_token_that_is_not_attended_to_is_a_run_of_its_own():
    row = write_row("..bpte", target="a")
    strip = draw(row, Landing(row=0, placeholders=0, features=0, landed="000000"))
    assert [run.attended for run in strip.runs] == [False, True, True, True, True]


def test_every_token_is_spelled_and_many_equal_ones_once():
    row = write_row("biiiiippte", target="a")
    words = ("<s>", *("<image>",) * 5, "\n", "Free", "a", "</s>")
    strip = draw(
        row, Landing(row=0, placeholders=5, features=5, landed="0111110000"), tuple(TokenText(text=w) for w in words)
    )
    assert [(chip.text, chip.times) for run in strip.runs for chip in run.chips] == [
        ("<s>", 1), ("<image>", 5), ("\u21b5", 1), ("Free", 1), ("a", 1), ("</s>", 1),
    ]  # fmt: skip


def test_a_label_that_is_another_token_is_shown_beside_it():
    row = write_row("bpte", target="a")
    tokens = (TokenText(text="b"), TokenText(text="p"), TokenText(text="a", label="z"), TokenText(text="e"))
    strip = draw(row, Landing(row=0, placeholders=0, features=0, landed="0000"), tokens)
    assert [chip.label for run in strip.runs for chip in run.chips] == ["", "", "z", ""]


def test_a_row_of_which_only_the_beginning_is_spelled_says_so():
    strip = draw(
        write_row("bpte", target="a"), Landing(row=0, placeholders=0, features=0, landed="0000"), (TokenText(text="b"),)
    )
    assert "Only the first 1 tokens are spelled out." in strip.notes


def test_labels_against_a_tokens_role_are_marked_and_a_bos_may_be_either():
    landing = Landing(row=0, placeholders=1, features=1, landed="010000")
    row = write_row("bipte.", target="a")
    assert not any(run.mislabelled for run in draw(row, landing).runs)
    every = draw(msgspec.structs.replace(row, trained="111111"), landing)
    assert [run.mislabelled for run in every.runs] == [False, True, True, False, False, True]
    none = draw(msgspec.structs.replace(row, trained="000000"), landing)
    assert [run.mislabelled for run in none.runs] == [False, False, False, True, True, False]


def test_the_end_of_the_text_is_no_difference_and_a_trained_prompt_is_one():
    landing = Landing(row=0, placeholders=0, features=0, landed="0000")
    assert not draw(write_row("bpte", target="a"), landing).differs
    assert draw(msgspec.structs.replace(write_row("bpte", target="a"), trained="0111"), landing).differs


def test_a_row_whose_landing_nobody_saw_says_so():
    facts = altered(HEALTHY, {"forward.landing": Unknown(reason="no scatter was seen")})
    assert all("not seen" in strip.notes[0] for strip in draw_strips(facts))
    assert not any(run.wrong for strip in draw_strips(facts) for run in strip.runs)


def test_a_landing_that_was_seen_on_a_repaired_batch_says_so():
    repair = Repair(argument="images_seq_mask", raised=Raised(type="RuntimeError", message="x", site=None))
    facts = altered(HEALTHY, {"forward.repairs": (repair,), "collator.batch.rows.0.marked": "1"})
    strip = next(draw_strips(facts))
    assert "after images_seq_mask had been replaced" in strip.notes[0]
    assert strip.notes[1] == "The placement mask has length 1, the row 20."
