"""A sample of the hostile children; `python -m tests.campaign --part children` runs all of them."""

from __future__ import annotations

import sys

import pytest

from tests.campaign.hostile import ATTACKS, attack_children

SAMPLE = (
    "leave_with_0",
    "halt_itself",
    "kill_the_process_above",
    "kill_us",
    "leave_a_daemon",
    "leave_a_daemon_without_environment",
    "leave_a_folder_without_rights",
    "fill_the_shared_memory",
    "look_for_secrets",
    "read_our_environment",
    "write_outside",
    "write_outside_by_a_program",
    "move_a_file_out",
    "reach_the_network",
    "return_5",
    "return_nothing",
    "return_an_empty_list",
    "return_half_a_struct",
    "return_an_extension_type",
    "return_a_deep_nest",
    "spoil_the_list_of_modules",
    "use_worker_processes",
)


@pytest.mark.skipif(sys.platform != "linux", reason="the attacks are written for Linux")
def test_a_sample_of_hostile_children_changes_nothing_outside_and_the_next_call_works() -> None:
    tally = attack_children(len(SAMPLE), names=SAMPLE)
    assert tally.wrong == []
    assert tally.tried >= 15


def test_the_table_holds_at_least_40_kinds_of_attack() -> None:
    assert len(ATTACKS) >= 40
    assert set(SAMPLE) <= set(ATTACKS)
