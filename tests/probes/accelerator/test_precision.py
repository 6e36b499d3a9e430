from __future__ import annotations

import types

import msgspec
import pytest
import torch

from preflight_ocr.harness.facts import Raised, Unknown
from preflight_ocr.probes.accelerator.moving import Placed
from preflight_ocr.probes.accelerator.precision import (
    RECIPES,
    TOLERANCES,
    Recipe,
    measure_difference,
    read_plain_logits,
    read_recipe,
    take_step,
    try_precision,
)

FLOAT32, FLOAT16, BFLOAT16, AUTOCAST = RECIPES


class Reader(torch.nn.Module):
    """Two linear layers that return logits and a loss; `factor` multiplies the loss, `exact` forbids half precision."""

    def __init__(self, factor=1.0, exact=False):
        super().__init__()
        torch.manual_seed(3)
        self.inside, self.head = torch.nn.Linear(8, 8), torch.nn.Linear(8, 5)
        self.factor, self.exact = factor, exact

    def forward(self, features, attention_mask):
        hidden = self.inside(features.to(self.inside.weight.dtype))
        if self.exact and hidden.dtype != torch.float32:
            raise TypeError("float32 only")
        logits = self.head(hidden)
        return types.SimpleNamespace(logits=logits, loss=logits.float().square().mean() * self.factor)


def put(card, **options):
    model = Reader(**options).to(card.device)
    batch = {
        "features": torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(1)).to(card.device),
        "attention_mask": torch.tensor([[0, 1, 1], [1, 1, 1]], device=card.device),
    }
    return Placed(model, model, batch, ())


@pytest.fixture
def expected():
    placed = put(types.SimpleNamespace(device=torch.device("cpu")))
    return read_plain_logits(placed.inner, placed.batch, FLOAT32, types.SimpleNamespace(device=torch.device("cpu")))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_each_precision_steps_and_agrees_with_the_cpu(card, recipe, expected):
    placed = put(card)
    placed.model.to(getattr(torch, recipe.weights))
    before = placed.model.head.weight.detach().clone()
    tried = try_precision(placed, recipe, card, expected, is_configured=True)
    assert tried.step == "ok" and not tried.not_finite
    assert isinstance(tried.loss, float)
    assert tried.difference < tried.tolerance / 2
    assert not torch.equal(before, placed.model.head.weight)


def test_padding_is_left_out_of_the_comparison(card, expected):
    assert expected.shape == (5, 5)
    placed = put(card)
    placed.batch["features"][0, 0] = 1e6
    assert try_precision(placed, FLOAT32, card, expected, is_configured=True).difference < 0.02


def test_a_computation_that_is_another_one_is_far_off(card, expected):
    placed = put(card)
    placed.model.inside.weight.data.neg_()
    assert try_precision(placed, FLOAT32, card, expected, is_configured=True).difference > 0.5


def test_a_scaler_may_halve_until_the_gradients_fit(card):
    loss, bad = take_step(put(card, factor=1e3), FLOAT16, card)
    assert isinstance(loss, float) and not bad


@pytest.mark.parametrize("recipe", [FLOAT32, FLOAT16], ids=lambda recipe: recipe.name)
def test_gradients_that_never_fit_are_named(card, recipe):
    placed = put(card)
    placed.model.head.weight.register_hook(lambda gradient: gradient * float("inf"))
    loss, bad = take_step(placed, recipe, card)
    assert isinstance(loss, float) and bad == ["head.weight"]


def test_a_loss_that_is_not_finite_is_a_fact_that_json_can_hold(card, expected):
    tried = try_precision(put(card, factor=float("nan")), FLOAT32, card, expected, is_configured=True)
    assert tried.not_finite[0] == "loss" and isinstance(tried.loss, Unknown)
    assert msgspec.json.decode(msgspec.json.encode(tried), type=type(tried)) == tried


def test_logits_that_are_not_finite_are_named(card, expected):
    placed = put(card)
    placed.model.head.bias.data[0] = float("inf")
    tried = try_precision(placed, FLOAT32, card, expected, is_configured=True)
    assert tried.not_finite[0] == "logits" and isinstance(tried.difference, Unknown)


def test_what_raises_in_half_precision_is_kept(card, expected):
    tried = try_precision(put(card, exact=True), AUTOCAST, card, expected, is_configured=False)
    assert isinstance(tried.step, Raised) and tried.step.message == "float32 only"
    assert "float32 only" in tried.difference.reason


def test_no_loss_is_an_exception_in_words(card):
    placed = put(card)
    silent = msgspec.structs.replace(placed, model=torch.nn.Identity())
    silent.model.forward = lambda **batch: types.SimpleNamespace(logits=None)
    silent.model.weight = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(TypeError, match="no loss tensor but NoneType"):
        take_step(silent, FLOAT32, card)


def test_logits_of_another_shape_cannot_be_compared(expected):
    assert "(4, 5) and (5, 5)" in measure_difference(expected[:4], expected).reason
    assert measure_difference(expected, Unknown(reason="none")) == Unknown(reason="none")


def test_the_recipe_is_what_the_file_and_the_weights_add_up_to(healthy):
    assert read_recipe(healthy.config, healthy.bare) == FLOAT32
    training = msgspec.structs.replace(healthy.config.training, fp16=True)
    asked = read_recipe(msgspec.structs.replace(healthy.config, training=training), healthy.bare)
    assert asked == FLOAT16 and asked.name == "float32 weights, float16 autocast, scaler"


def test_the_coarsest_dtype_says_what_is_allowed():
    assert Recipe(weights="bfloat16", autocast="float16").tolerance == TOLERANCES[torch.bfloat16]
    assert FLOAT32.tolerance == TOLERANCES[torch.float32] < FLOAT16.tolerance < BFLOAT16.tolerance
