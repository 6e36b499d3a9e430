from __future__ import annotations

import itertools

import msgspec
import pytest

from preflight_ocr.harness.facts import Carrier, Census, Raised, Unknown
from preflight_ocr.harness.judging.wording import spell_bytes
from preflight_ocr.reports.page.bars import WIDTH, choose_unit, count_adapters, list_ticks, spell_in, weigh_memory
from tests.specimens import HEALTHY, altered
from tests.specimens.memory_over_budget import HEALTHY as WITHIN
from tests.specimens.memory_over_budget import SICK as OVER


def census(**given):
    return Census(**{"part": "experts", "checkpointing": False, "adapters": 10, "with_gradient": 6, "moved": 6} | given)


def test_each_part_says_what_is_adapted_and_what_could_be():
    roll = count_adapters(HEALTHY)
    assert [(part.total.name, part.total.adapted, part.total.modules) for part in roll.parts] == [
        ("Vision", 0, 2), ("Language: attention", 4, 4), ("Head", 0, 1),
    ]  # fmt: skip
    assert (roll.adapted, roll.modules, roll.why) == (4, 7, "")
    assert [s.kind for s in roll.parts[1].total.segments] == ["good"]
    assert [s.kind for s in roll.parts[0].total.segments] == ["free"]


def test_adapters_without_gradient_and_experts_without_token_are_drawn_apart():
    carriers = (
        Carrier(part="experts", name="a", modules=8, adapted=8),
        Carrier(part="experts", name="b", modules=8, adapted=2),
    )
    counted = census(unreached=1, idle={"a": 3})
    facts = altered(HEALTHY, {"adapter.carriers": carriers, "learning.census": (counted,)})
    (part,) = count_adapters(facts).parts
    assert [(s.kind, s.count) for s in part.total.segments] == [("good", 6), ("unreached", 1), ("lost", 3), ("free", 6)]
    assert [(k.name, k.idle) for k in part.kinds] == [("a", 3), ("b", 0)]
    assert sum(s.width for s in part.total.segments) == pytest.approx(WIDTH, abs=1)


def test_a_census_that_nobody_took_says_why_and_calls_no_adapter_trained():
    facts = altered(HEALTHY, {"learning.census": Unknown(reason="a training step raised")})
    roll = count_adapters(facts)
    assert roll.why == "Gradients were not looked at: a training step raised"
    assert [s.kind for s in roll.parts[1].total.segments] == ["plain"]


def test_an_adapter_step_that_raised_is_told():
    facts = altered(HEALTHY, {"adapter.raised": Raised(type="ValueError", message="no such module", site=None)})
    assert "ValueError: no such module" in count_adapters(facts).why


def test_a_part_that_nobody_knows_is_shown_under_its_own_name():
    facts = altered(HEALTHY, {"adapter.carriers": (Carrier(part="tail", name="a", modules=1, adapted=0),)})
    assert [part.total.name for part in count_adapters(facts).parts] == ["tail"]


def test_an_unknown_adapter_is_unknown():
    assert count_adapters(altered(HEALTHY, {"adapter": Unknown(reason="not run")})) == Unknown(reason="not run")


def test_memory_is_laid_out_part_by_part_and_held_against_the_budget():
    budget = weigh_memory(OVER)
    assert budget.fits is False
    assert budget.share == pytest.approx(21 / 16)
    stretches = [weight.segment for weight in budget.parts]
    assert stretches[0].name == "frozen weights"
    assert all(b.x == pytest.approx(a.x + a.width, abs=0.2) for a, b in itertools.pairwise(stretches))
    assert sum(s.count for s in stretches) == OVER.memory.needed
    together, allowed = (weight.segment for weight in budget.whole)
    assert (together.x, together.width) == (0, WIDTH)
    assert allowed.width == pytest.approx(WIDTH * 16 / 21, abs=0.2)
    assert {weight.said.rpartition(" ")[2] for weight in (*budget.parts, *budget.whole)} == {budget.unit}


@pytest.mark.parametrize(
    ("scale", "unit", "ticks"),
    [
        (21 << 30, "GiB", ["0", "5", "10", "15", "20"]),
        (777 << 20, "MiB", ["0", "100", "200"]),
        (3, "B", ["0", "0.5", "1"]),
    ],
)
def test_a_plot_has_one_unit_and_round_numbers_on_its_scale(scale, unit, ticks):
    assert choose_unit(scale) == unit
    assert [number for _, number in list_ticks(scale, unit)][: len(ticks)] == ticks
    assert 4 <= len(list(list_ticks(scale, unit))) <= 10


def test_what_would_be_nothing_in_the_unit_is_not_called_nothing():
    assert (spell_in(1, "GiB"), spell_in(0, "GiB"), spell_in(5 << 29, "GiB")) == ("< 0.1 GiB", "0.0 GiB", "2.5 GiB")


def test_a_need_within_the_budget_fits():
    assert weigh_memory(WITHIN).fits


def test_without_a_peak_there_is_no_bar_but_a_reason():
    forecast = msgspec.structs.replace(OVER.memory, peak=None, needed=None, unknown=("no rows",))
    assert weigh_memory(altered(OVER, {"memory": forecast})) == Unknown(reason="no rows")


@pytest.mark.parametrize(
    ("size", "said"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (16 << 30, "16.0 GiB")]
)
def test_sizes_are_spelled_as_people_read_them(size, said):
    assert spell_bytes(size) == said
