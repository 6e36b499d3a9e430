"""How the ratios of throughput are made of the times of both sides."""

from __future__ import annotations

import pytest

from docs.measure.throughput import Measured, Turn, spread, take_turns


def test_training_is_told_as_time_and_reading_as_speed():
    turn = Turn(plain=2.0, ours=1.0, plain_cpu=4.0, ours_cpu=1.0)
    training = Measured(what="training", model="m", amount=1, turns=(turn,))
    reading = Measured(what="evaluate", model="m", amount=1, turns=(turn,))
    assert spread(training, "clock").median == 0.5
    assert spread(reading, "clock").median == 2.0
    assert spread(reading, "cores").median == 4.0


def test_sides_that_do_not_give_the_same_are_not_compared():
    with pytest.raises(ValueError, match="the plain loop gave 'a', ours 'b'"):
        take_turns(lambda: ["a"], lambda: ["b"], turns=1)


def test_a_side_that_gives_something_else_in_a_later_turn_is_not_compared():
    results = iter((["a"], ["b"]))
    with pytest.raises(ValueError, match="ours gave another result in turn 1"):
        take_turns(lambda: ["a"], lambda: next(results), turns=1)
