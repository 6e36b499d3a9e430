from __future__ import annotations

import msgspec
import pytest

from preflight_ocr.harness.memory.fit import judge
from preflight_ocr.reports.memory.terminal import render, show


def test_the_answer_says_what_is_held_whether_it_fits_and_what_to_type(answer):
    text = render(answer)
    assert "kept for backward" in text and "3.00 GiB" in text
    assert "It does not fit into the budget of 8.00 GiB: 3.51 GiB too much." in text
    assert "Use gradient checkpointing: 7.00 GiB." in text and "    gradient_checkpointing: true" in text
    assert "24 of 900 rows" in text and "kernels are not counted" in text
    assert "\n\n\n" not in text


def test_where_nothing_is_enough_a_larger_card_is_named(answer):
    text = render(msgspec.structs.replace(answer, changes=answer.changes[:1]))
    assert "Not even all of them together" in text and "larger card" in text
    assert "larger card" in render(msgspec.structs.replace(answer, changes=()))


def test_a_combination_is_advised_where_no_single_change_is_enough(answer):
    both = msgspec.structs.replace(answer.changes[1], words="batch size 1, gradient checkpointing")
    text = render(msgspec.structs.replace(answer, changes=answer.changes[:1], together=both))
    assert "Use batch size 1, gradient checkpointing" in text


def test_without_a_budget_the_card_that_is_enough_is_named(answer):
    text = render(judge(msgspec.structs.replace(answer, budget=None)))
    assert "It needs a card of 11.51 GiB" in text


def test_a_step_that_fits_gets_no_advice(answer):
    text = render(judge(msgspec.structs.replace(answer, budget=20 << 30)))
    assert "It fits into the budget" in text and "Use " not in text


def test_weights_that_are_over_the_budget_are_enough_to_say_no(answer):
    alone = judge(msgspec.structs.replace(answer, peak=None, step=None, budget=5 << 30))
    assert alone.fits is False and "the weights alone" in render(alone)
    unclear = judge(msgspec.structs.replace(alone, budget=7 << 30))
    assert unclear.fits is None and "is not known" in render(unclear)


@pytest.mark.parametrize(("size", "text"), [(5, "5 B"), (2048, "2.0 KiB"), (3 << 20, "3.0 MiB"), (3 << 30, "3.00 GiB")])
def test_sizes_have_the_unit_that_reads_best(size, text):
    assert show(size) == text
