from __future__ import annotations

import time
import types

import pytest
import torch

from preflight_ocr.harness.commands.bench.measure import (
    WARM_UP,
    BenchError,
    Gauge,
    TrainingStep,
    count_tokens,
    measure_collations,
    measure_steps,
    weigh,
)
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.probes.accelerator.card import CpuCard, PeakBytes


class FakeCard(CpuCard):
    """A card that answers; what it is told is noted in order."""

    def __init__(self, *, utilisation=90.0, power=70.0):
        super().__init__()
        self.told, self.asked = [], 0
        self.utilisation, self.power = utilisation, power

    def start_peak(self):
        self.told.append("start")

    def read_peak(self):
        self.told.append("read")
        return PeakBytes(allocated=3, reserved=5)

    def read_overhead(self):
        return 7

    def read_utilisation(self):
        self.asked += 1
        return self.utilisation

    def read_power(self):
        return self.power


def test_the_peak_begins_after_the_warm_up_and_ends_with_the_last_step():
    card = FakeCard()
    measured = measure_steps(lambda batch: card.told.append("step"), {}, card, 4)
    assert card.told == [*["step"] * WARM_UP, "start", *["step"] * 4, "read"]
    assert len(measured.seconds) == 4
    assert (measured.allocated, measured.reserved, measured.overhead) == (3, 5, 7)
    assert (measured.utilisation, measured.power) == (90.0, 70.0)


def test_seconds_are_those_of_the_step():
    measured = measure_steps(lambda batch: time.sleep(0.03), {}, CpuCard(), 3)
    assert all(0.03 <= seconds < 0.3 for seconds in measured.seconds)


def test_a_cpu_measures_time_and_says_why_nothing_else():
    measured = measure_steps(lambda batch: None, {}, CpuCard(), 2)
    assert set(measured[1:]) == {Unknown(reason="not measured: no accelerator")}


def test_a_driver_that_does_not_answer_is_asked_once():
    card = FakeCard(utilisation=None, power=None)
    card.device = torch.device("cuda")
    with Gauge(card):
        time.sleep(0.2)
    assert card.asked == 1
    measured = measure_steps(lambda batch: time.sleep(0.01), {}, card, 2)
    assert measured.power == Unknown(reason="the driver does not say for this card")


def test_readings_go_on_while_the_block_runs_and_stop_with_it():
    card = FakeCard()
    with Gauge(card) as gauge:
        time.sleep(0.3)
    count = card.asked
    time.sleep(0.15)
    assert 3 <= count == card.asked == len(gauge.power)


def test_a_collator_gets_rows_of_its_own_each_time():
    rows = [{"text": "a"}]

    def collate(given):
        given[0].pop("text")
        return {}

    assert len(measure_collations(collate, rows, 3)) == 3
    assert rows == [{"text": "a"}]


@pytest.mark.parametrize(
    ("batch", "tokens"),
    [
        ({"input_ids": torch.ones(2, 3), "attention_mask": torch.tensor([[0, 1, 1], [1, 1, 1]])}, 5),
        ({"input_ids": torch.ones(2, 3)}, 6),
        ({"labels": torch.tensor([[1, 2, -100]])}, 2),
        ({"attention_mask": torch.ones(1, 1, 4, 4), "input_ids": torch.ones(1, 4)}, 4),
        ({"pixels": torch.ones(2, 3, 4)}, 0),
    ],
)
def test_tokens_are_counted_without_padding(batch, tokens):
    assert count_tokens(batch) == tokens


def test_of_rows_with_as_many_tokens_the_one_with_more_pixels_is_heavier():
    ids = torch.ones(1, 4)
    small, large = ({"input_ids": ids, "images": [(torch.ones(n), torch.ones(1))]} for n in (2, 9))
    assert weigh(small) < weigh(large) < weigh({"input_ids": torch.ones(1, 5)})


def test_a_trainer_without_steps_is_refused_in_words():
    with pytest.raises(BenchError, match="a SimpleNamespace without training_step, create_optimizer"):
        TrainingStep(types.SimpleNamespace(accelerator=None), CpuCard())
