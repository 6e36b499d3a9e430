"""Generators that a collator keeps for itself are held still between its calls."""

import random

import numpy
import pytest
import torch

from preflight_ocr.probes.workbench.chance import Chance, note_unseeded


def draw_with(generator):
    if isinstance(generator, random.Random):
        return generator.random()
    if isinstance(generator, numpy.random.Generator | numpy.random.RandomState):
        return float(generator.uniform())
    return float(torch.rand(1, generator=generator))


MADE = {
    "random": lambda: random.Random(3),
    "numpy": lambda: numpy.random.default_rng(3),
    "old numpy": lambda: numpy.random.RandomState(3),
    "torch": lambda: torch.Generator().manual_seed(3),
}


class Holder:
    """Keeps a generator, as a collator does."""

    def __init__(self, generator):
        self.generator = generator

    def __call__(self):
        return draw_with(self.generator), random.random(), float(torch.rand(1))


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_each_call_draws_the_same(make):
    chance, holder = Chance(), Holder(make())
    first, second = chance.hold(holder), chance.hold(holder)
    assert first == second
    assert holder() != second  # nothing holds them outside


def test_a_generator_that_the_first_call_makes_is_held_from_then_on():
    made = []

    def draw():
        if not made:
            made.append(random.Random(3))
        return made[0].random()

    chance = Chance()
    assert chance.hold(draw) == chance.hold(draw)


@pytest.mark.parametrize("make", [random.Random, numpy.random.default_rng], ids=["random", "numpy"])
def test_one_without_a_seed_goes_on_where_it_is_let(make):
    note_unseeded()
    chance, unseeded, seeded = Chance(), Holder(make()), Holder(random.Random(5))
    first, other = chance.hold(unseeded), chance.hold(seeded)
    assert chance.hold(unseeded) == first
    with chance.free():
        assert chance.hold(unseeded) != first
        assert chance.hold(seeded) == other
