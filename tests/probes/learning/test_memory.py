from __future__ import annotations

import types

import pytest
import torch
from torch import nn

from preflight_ocr.harness.facts import MemoryNeed
from preflight_ocr.probes.learning.memory import measure_need, measure_weights


class Product(nn.Module):
    """Backward of a matrix product with one trained weight keeps its input, and nothing else."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(10, 4)
        self.words.weight.requires_grad_(False)
        self.trained = nn.Linear(4, 6, bias=False)

    def get_input_embeddings(self):
        return self.words


ROWS, LENGTH = 2, 5
WHOLE = 10**9


def measure(optim="adamw_torch", batch_size=2, cut=(), model=None, step=None):
    model = model or Product()
    x = torch.randn(ROWS, LENGTH, 4)
    parts = make_parts(model, optim, batch_size, cut)
    return measure_need(parts, model, step or (lambda: model.trained(x).sum()))


def make_parts(model, optim="adamw_torch", batch_size=2, cut=()):
    return types.SimpleNamespace(
        built=types.SimpleNamespace(cut=cut, bytes_before_cut=WHOLE),
        config=types.SimpleNamespace(
            training=types.SimpleNamespace(per_device_train_batch_size=batch_size, optim=optim)
        ),
        sample=[{}] * ROWS,
        reference=object(),
        reader=types.SimpleNamespace(sequence="input_ids"),
        seeded=lambda collate, rows: {"input_ids": torch.zeros(ROWS, LENGTH, dtype=torch.long)},
        bare=model,
        model=model,
    )


def test_every_byte_can_be_counted_by_hand():
    need = measure()
    assert need.weights == (10 * 4 + 4 * 6) * 4
    assert need.gradients == 4 * 6 * 4
    assert need.optimizer == 2 * 4 * 6 * 4
    assert need.activations == ROWS * LENGTH * 4 * 4
    assert need.logits == 2 * LENGTH * 10 * 4
    assert (need.batch_size, need.longest_row) == (2, LENGTH)


def test_activations_and_logits_grow_with_the_batch():
    one, four = measure(batch_size=1), measure(batch_size=4)
    assert (four.activations, four.logits) == (4 * one.activations, 4 * one.logits)
    assert four.weights == one.weights


@pytest.mark.parametrize(("optim", "states"), [("sgd", 0), ("adamw_torch", 2), ("adamw_8bit", 0.5), (None, 2)])
def test_the_optimizer_says_how_many_states_it_keeps(optim, states):
    assert measure(optim=optim).optimizer == states * 4 * 6 * 4


def test_a_tensor_that_is_kept_twice_counts_once():
    model, x = Product(), torch.randn(ROWS, LENGTH, 4)
    twice = measure(model=model, step=lambda: (model.trained(x) + model.trained(x)).sum())
    assert twice.activations == ROWS * LENGTH * 4 * 4


def test_a_tied_weight_counts_once():
    model = Product()
    model.head = nn.Linear(4, 10, bias=False)
    model.head.weight = model.words.weight
    assert measure(model=model).weights == (10 * 4 + 4 * 6) * 4


def test_half_precision_weights_take_half():
    model = Product()
    model.words.bfloat16()
    assert measure(model=model).weights == 10 * 4 * 2 + 4 * 6 * 4


def test_of_a_cut_model_the_weights_are_those_of_the_whole_one_and_the_step_has_one_row():
    cut, whole = measure(cut=("layers: 12 -> 2",)), measure()
    assert cut.weights == WHOLE + cut.gradients
    assert cut.activations == ROWS * whole.activations


def test_without_a_step_the_weights_alone_are_known():
    model = Product()
    parts = make_parts(model)
    assert measure_weights(parts) == MemoryNeed(
        weights=(10 * 4 + 4 * 6) * 4,
        gradients=0,
        optimizer=0,
        activations=0,
        logits=0,
        batch_size=2,
        longest_row=LENGTH,
    )
