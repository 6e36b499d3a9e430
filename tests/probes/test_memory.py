from __future__ import annotations

import types

import pytest
import torch
from torch import nn

from harness.facts import Unknown
from probes.memory import measure_need


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


def measure(optim="adamw_torch", batch_size=2, cut=(), model=None, step=None):
    model = model or Product()
    x = torch.randn(ROWS, LENGTH, 4)
    parts = types.SimpleNamespace(
        built=types.SimpleNamespace(cut=cut),
        config=types.SimpleNamespace(
            training=types.SimpleNamespace(per_device_train_batch_size=batch_size, optim=optim)
        ),
        sample=[{}] * ROWS,
        reference=object(),
        reader=types.SimpleNamespace(sequence="input_ids"),
        seeded=lambda collate, rows: {"input_ids": torch.zeros(ROWS, LENGTH, dtype=torch.long)},
        bare=model,
    )
    return measure_need(parts, model, step or (lambda: model.trained(x).sum()))


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


def test_a_cut_model_says_nothing_about_the_full_one():
    assert isinstance(measure(cut=("layers: 12 -> 2",)), Unknown)
