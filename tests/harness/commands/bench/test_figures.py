from __future__ import annotations

import msgspec
import pytest

from preflight_ocr.harness.commands.bench.figures import Benchmark
from preflight_ocr.harness.facts import Raised, Unknown

GIB = 1 << 30


def test_rates_are_of_the_median(measured):
    point = measured.points[1]
    assert point.step_seconds == 0.5
    assert point.tokens_per_second == 2000
    assert point.images_per_second == 80


def test_what_a_step_needs_is_the_allocators_peak_and_what_lies_beside_it(measured):
    assert measured.points[0].needed == int(4.5 * GIB)
    assert measured.points[0].error == pytest.approx(-0.05)


def test_the_highest_batch_is_the_largest_measured_one_within_the_budget(measured):
    assert measured.find_highest(None) == 2  # 15.8 GiB and half a GiB beside it are more than 16
    assert msgspec.structs.replace(measured, budget_bytes=17 * GIB).find_highest(None) == 4
    assert msgspec.structs.replace(measured, budget_bytes=GIB).find_highest(None) == 0


def test_without_a_budget_or_a_measure_nothing_is_said_to_fit(measured):
    assert isinstance(msgspec.structs.replace(measured, budget_bytes=None).find_highest(None), Unknown)
    cpu = [msgspec.structs.replace(p, reserved=Unknown(reason="no card")) for p in measured.points[:2]]
    assert msgspec.structs.replace(measured, points=tuple(cpu)).find_highest(None) == Unknown(reason="no card")


def test_where_even_the_smallest_ran_out_of_memory_none_fits(measured):
    assert msgspec.structs.replace(measured, points=measured.points[3:4]).find_highest(None) == 0


def test_an_exception_that_is_not_the_memorys_is_no_zero(measured):
    lost = msgspec.structs.replace(measured.points[3], ended=Raised(type="ValueError", message="no", site=None))
    highest = msgspec.structs.replace(measured, points=(lost,)).find_highest(None)
    assert highest == Unknown(reason="ValueError: no")


def test_the_figures_make_the_json_round_trip(measured):
    assert msgspec.json.decode(msgspec.json.encode(measured), type=Benchmark) == measured
