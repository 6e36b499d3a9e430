from __future__ import annotations

import types

import msgspec
import pytest

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.probes.learning.trainer import measure_accumulation

SOURCE = """
from types import SimpleNamespace


class Recorded:
    def __init__(self, losses):
        self.state = SimpleNamespace(log_history=[{"epoch": 1.0}, *({"loss": loss} for loss in losses)])

    def train(self):
        pass


def summed(config, processor, model, collator, train_rows, val_rows):
    assert len(train_rows) == 2 * config.training.gradient_accumulation_steps
    assert config.training.learning_rate == 0.0
    return Recorded([2.5 * config.training.gradient_accumulation_steps])


def right(config, processor, model, collator, train_rows, val_rows):
    return Recorded([2.5])


def iterating(config, processor, model, collator, train_rows, val_rows):
    assert sum(1 for row in train_rows) == len(train_rows)
    return Recorded([2.5])


def silent(config, processor, model, collator, train_rows, val_rows):
    return Recorded([])


def broken(config, processor, model, collator, train_rows, val_rows):
    raise KeyError("optimizer")
"""


@pytest.fixture
def measure(healthy, tmp_path, monkeypatch):
    (tmp_path / "users_trainer.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    def run(name):
        subject = msgspec.structs.replace(healthy.config.subject, trainer=f"users_trainer:{name}")
        config = msgspec.structs.replace(healthy.config, subject=subject)
        parts = types.SimpleNamespace(
            config=config, sample=healthy.sample, reference=healthy.reference, no_trainer=healthy.no_trainer, brings=()
        )
        return measure_accumulation(parts, healthy.bare)

    return run


def test_a_trainer_that_sums_what_it_should_average_is_measured(measure):
    assert measure("summed") == 2.0


def test_a_trainer_that_averages_is_right(measure):
    assert measure("right") == 1.0


def test_a_trainer_that_iterates_its_rows_comes_to_their_end(measure):
    assert measure("iterating") == 1.0


@pytest.mark.parametrize(
    ("name", "words"),
    [("silent", "logged no loss"), ("broken", "KeyError"), ("gone", "could not be imported")],
)
def test_what_cannot_be_measured_says_why(measure, name, words):
    found = measure(name)
    assert isinstance(found, Unknown) and words in found.reason
