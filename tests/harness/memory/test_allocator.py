from __future__ import annotations

import pytest

from preflight_ocr.harness.memory.allocator import Allocator, OutOfMemory, find_smallest_limit, fits, measure

KIB, MIB = 1 << 10, 1 << 20


def test_sizes_are_rounded_up_and_small_ones_share_a_segment_of_2_mib():
    taken = measure([(0, 1), (1, 513), (2, 0)])
    assert (taken.allocated, taken.reserved) == (512 + 1024, 2 * MIB)


@pytest.mark.parametrize(
    ("size", "reserved"),
    [(MIB, 2 * MIB), (MIB + 1, 20 * MIB), (10 * MIB - 512, 20 * MIB), (10 * MIB, 10 * MIB), (11 * MIB, 12 * MIB)],
)
def test_segments_have_the_sizes_of_torch(size, reserved):
    assert measure([(0, size)]).reserved == reserved


def test_what_is_given_back_is_used_again():
    events = [event for number in range(50) for event in ((number, 15 * MIB), (number, 0))]
    taken = measure(events)
    assert (taken.allocated, taken.reserved) == (16 * MIB, 16 * MIB)  # a rest of 1 MiB is not cut off


def test_neighbours_that_are_free_become_one_block_again():
    events = [(0, 5 * MIB), (1, 5 * MIB), (2, 5 * MIB), (1, 0), (0, 0), (3, 10 * MIB - 512)]
    assert measure(events).reserved == 20 * MIB


def test_a_hole_between_two_blocks_costs_a_segment():
    events = [(0, 5 * MIB), (1, 5 * MIB), (2, 5 * MIB), (0, 0), (2, 0), (3, 16 * MIB)]
    assert measure(events).reserved == 20 * MIB + 16 * MIB
    assert measure(events).allocated == 5 * MIB + 16 * MIB


def test_before_a_card_is_full_free_segments_are_handed_back():
    events = [(0, 30 * MIB), (0, 0), (1, 40 * MIB)]
    assert measure(events).reserved == 70 * MIB
    assert fits(events, 40 * MIB) and not fits(events, 39 * MIB)
    assert find_smallest_limit(events) == 40 * MIB


def test_the_smallest_limit_lies_between_blocks_and_segments():
    events = [(0, 5 * MIB), (1, 5 * MIB), (2, 5 * MIB), (0, 0), (2, 0), (3, 16 * MIB)]
    limit = find_smallest_limit(events)
    assert measure(events).allocated < limit <= measure(events).reserved and fits(events, limit)


def test_over_the_limit_is_out_of_memory():
    with pytest.raises(OutOfMemory):
        Allocator(limit=MIB).play([(0, 3 * KIB)])
