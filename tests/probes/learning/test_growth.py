from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.probes.learning import growth as growth_module
from preflight_ocr.probes.learning.growth import FEWER, ROUNDS, look_at_growth


class Collating:
    def __init__(self, keeps: bool):
        self.keeps, self.seen = keeps, []

    def __call__(self, rows):
        batch = {"x": make(rows)}
        if self.keeps:
            self.seen.append(batch["x"].clone())
        return batch


@lru_cache(maxsize=8)
def make(rows):
    return torch.ones(len(rows), 4)


@pytest.fixture
def look():
    model = nn.Linear(4, 1)

    def look(collate, step=lambda: model(torch.ones(1, 4)).sum(), cut=()):
        parts = SimpleNamespace(
            built=SimpleNamespace(cut=cut), collate=collate, sample=(1, 2), seeded=lambda f, rows: f(rows)
        )
        return look_at_growth(parts, model, step)

    return look


def test_a_collator_that_keeps_its_batches_is_found_with_its_attribute(look):
    found = look(Collating(keeps=True))
    assert [after - before for before, after in zip(found.tensors, found.tensors[1:], strict=False)] == [1] * (
        ROUNDS - 1
    )
    assert found.holders == ("Collating.seen",) and found.entries[-1] > found.entries[0]


def test_a_cache_with_an_end_does_not_grow(look):
    found = look(Collating(keeps=False))
    assert len(set(found.tensors)) == 1 and found.holders == ()


def test_of_slow_rounds_fewer_are_enough(look, monkeypatch):
    monkeypatch.setattr(growth_module, "SLOW", 0.0)
    found = look(Collating(keeps=True))
    assert len(found.tensors) == FEWER > 2
    assert found.holders == ("Collating.seen",)


def test_a_step_that_raises_or_is_dear_is_unknown(look):
    assert isinstance(look(Collating(keeps=False), step=lambda: 1 / 0), Unknown)
    assert isinstance(look(Collating(keeps=False), cut=("layers: 12 -> 2",)), Unknown)


def test_what_a_collator_passes_rows_on_to_is_counted_with_it(look):
    class Passing:
        def __init__(self, inner):
            self.inner = inner

        def __call__(self, rows):
            return self.inner(rows)

    found = look(Passing(Collating(keeps=True)))
    assert found.entries[-1] > found.entries[0]
