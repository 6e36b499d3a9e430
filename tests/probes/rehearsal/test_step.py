from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from torch import nn

from docs.measure import memory as table
from preflight_ocr.fixtures.corpus.models import find_model_obstacle
from preflight_ocr.harness.memory.optimizers import count_state_bytes
from preflight_ocr.probes.rehearsal.step import Rehearsed, rehearse

SEEN = 0.05  # of the models it was made with
UNSEEN = 0.10  # of one it was never run with while it was made


class Loss(dict):
    """What forward returns."""


class Model(nn.Module):
    """Two layers of which one is trained; `keep` holds on to what a faulty forward would."""

    def __init__(self, twice=False):
        super().__init__()
        self.frozen = nn.Linear(64, 64, bias=False).requires_grad_(False)
        self.trained = nn.Linear(64, 64, bias=False)
        self.twice = twice

    def forward(self, x):
        y = torch.tanh(self.trained(torch.tanh(self.frozen(x))))
        if self.twice:
            y = torch.tanh(torch.tanh(torch.tanh(y)))
        return Loss(loss=y.square().mean())


def peak(model=None, rows=64, **settings):
    batch = {"x": torch.randn(rows, 64)}
    step = Rehearsed(**{"optim": "adamw_torch", "card": False, **settings})
    return rehearse(model or Model(), batch, step)


WEIGHT, ROWS = 64 * 64 * 4, 64 * 64 * 4


@pytest.mark.parametrize("weightless", [True, False])
def test_every_byte_of_a_small_step_can_be_counted_by_hand(weightless):
    seen = peak(weightless=weightless, optim="sgd").at_peak
    assert seen["weights"] == seen["adapter"] == WEIGHT
    assert seen["batch"] == ROWS
    assert peak(weightless=weightless).at_peak["optimizer"] >= 2 * WEIGHT
    # What the trained layer was given, and what the last tanh gave: that one and the square keep the same storage.
    assert seen["activations"] == 2 * ROWS


def test_a_step_that_keeps_twice_as_much_moves_the_prediction_as_much_as_the_real_one():
    plain, planted = (peak(Model(twice), weightless=True).peak for twice in (False, True))
    real = [peak(Model(twice), weightless=False).peak for twice in (False, True)]
    assert planted - plain == real[1] - real[0] == 3 * ROWS


def test_gradients_of_earlier_rows_and_their_batches_are_there_when_rows_are_accumulated():
    once, twice = peak(weightless=True), peak(weightless=True, accumulation=2)
    assert twice.at_peak["batch"] == 2 * once.at_peak["batch"]
    assert twice.at_peak["gradients"] >= WEIGHT


def test_a_rehearsal_leaves_the_model_as_it_was():
    model = Model().eval()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for weightless in (True, False):
        peak(model, weightless=weightless)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert all(p.grad is None for p in model.parameters()) and not model.training
    assert not model.trained.weight._post_accumulate_grad_hooks


@pytest.mark.parametrize("optim", ["adamw_torch", "adamw_torch_fused", "sgd", "rmsprop", "adagrad", "adafactor"])
def test_states_are_those_that_torch_really_allocates(optim):
    held = peak(weightless=True, optim=optim, rows=512).at_peak["optimizer"]
    assert held == pytest.approx(count_state_bytes(optim, 64 * 64, 4, (64, 64)), abs=64)


def measure(model):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(table.measure, model).result()


@pytest.mark.parametrize(
    ("model", "tolerance"),
    [
        pytest.param("deepseek_ocr", SEEN, marks=pytest.mark.slow),
        pytest.param("dots_ocr", SEEN, marks=pytest.mark.slow),
        pytest.param("qwen2_vl", SEEN, marks=pytest.mark.slow),
        pytest.param("llava", SEEN, marks=pytest.mark.slow),
        pytest.param("donut", SEEN, marks=pytest.mark.slow),
        pytest.param("glm_ocr", UNSEEN, marks=pytest.mark.slow),
        pytest.param("trocr", UNSEEN, marks=pytest.mark.slow),
    ],
)
def test_the_predicted_peak_is_that_of_a_real_step_on_the_cpu(model, tolerance):
    if obstacle := find_model_obstacle(model):
        pytest.skip(obstacle)
    cases, refused = measure(model)
    assert {case.batch_size for case in cases} == set(table.BATCHES)
    assert {case.checkpointing for case in cases} == {True, False}
    assert len({case.precision for case in cases}) >= 2, refused
    for case in cases:
        assert abs(case.error) < tolerance, case
    assert len({case.measured for case in cases}) > 4  # the settings do make a difference
