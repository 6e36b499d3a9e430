"""A small sample of the campaign; the whole of it is `python -m tests.campaign`."""

from __future__ import annotations

import pytest

from tests.campaign.inputs import find_damage, try_batch
from tests.campaign.tally import Tally, render
from tests.campaign.training import kill_at_random, tear_checkpoints


def test_mutated_inputs_are_never_a_traceback_nor_a_good_word():
    numbers = [f"sample-{number}" for number in range(25)]
    wrong = [said for _, said in try_batch(numbers, "read", limited=False) if said]
    assert wrong == []


def test_a_killed_run_that_is_gone_on_with_ends_with_the_same_bits():
    tally = kill_at_random(2, seed=7)
    assert tally.wrong == [] and tally.tried == 2


def test_torn_checkpoints_are_passed_over_and_the_run_ends_with_the_same_bits():
    tally = tear_checkpoints(4, seed=7)
    assert tally.wrong == [] and tally.tried > 0


def test_the_table_names_what_got_through():
    tally = Tally(part="inputs")
    tally.note("exit 0", "config.json: cut in half")
    tally.note("exit 2")
    assert tally.survived == 1
    assert "WRONG inputs: config.json: cut in half" in render([tally])


def test_the_oracle_knows_a_damaged_file(tmp_path):
    (tmp_path / "a.json").write_text("{", encoding="utf-8")
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    (tmp_path / "b.json").write_text("{}", encoding="utf-8")
    assert find_damage(tmp_path / "a.json") and find_damage(tmp_path / "a.png")
    assert find_damage(tmp_path / "b.json") == ""


@pytest.mark.slow
def test_the_whole_campaign_lets_nothing_through():
    from tests.campaign.__main__ import main

    assert main([]) == 0
