"""A small sample of the campaign; the whole of it is `python -m tests.campaign`."""

from __future__ import annotations

import pytest

from tests.campaign import records
from tests.campaign.inputs import find_damage, try_batch
from tests.campaign.tally import Tally, render
from tests.campaign.training import kill_at_random, tear_checkpoints


def test_mutated_inputs_are_never_a_traceback_nor_a_good_word():
    numbers = [f"sample-{number}" for number in range(12)]
    wrong = [said for _, said in try_batch(numbers, "read", limited=False) if said]
    assert wrong == []


def test_a_killed_run_that_is_gone_on_with_ends_with_the_same_bits():
    tally = kill_at_random(1, seed=7)
    assert tally.wrong == [] and tally.tried == 1


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


def test_the_last_whole_run_is_kept_for_the_documentation_and_let_nothing_through():
    kept = {record.name: record.tally for record in records.read()}
    least = {"reading": 10_000, "running": 300, "children": 40, "gate": 20, "kills": 50, "checkpoints": 40}
    assert {name: kept[name].tried >= number for name, number in least.items()} == dict.fromkeys(least, True)
    assert [line for tally in kept.values() for line in tally.wrong] == []


def test_a_run_is_kept_in_the_place_of_the_last_one_of_its_part(tmp_path):
    path = tmp_path / "campaign.json"
    for tried in (1, 2):
        records.keep("kills", Tally(part="kills", tried=tried), 3.4, path)
        records.keep("gate", Tally(part="gate", tried=5), 1, path)
    assert [(r.name, r.tally.tried, r.seconds) for r in records.read(path)] == [("kills", 2, 3), ("gate", 5, 1)]


def test_an_attack_that_was_not_tried_is_said(capsys):
    tally = Tally(part="children", left_out=["kill_us: needs Landlock 6, here 0"])
    assert "NOT TRIED children: kill_us: needs Landlock 6" in render([tally])
    tally.note("raised", "got through")
    assert "WRONG children: got through" in capsys.readouterr().err
