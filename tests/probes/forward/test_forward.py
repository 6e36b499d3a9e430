"""What one call of forward shows about the keys of its batch."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.probes.forward.forward import find_idle_keys
from preflight_ocr.probes.workbench.calls import Seen


class Open(nn.Module):
    """Names one input and takes any other: `shift` moves the logits, `weight` the loss alone, all else does nothing."""

    def forward(self, input_ids, **kwargs):
        logits = nn.functional.one_hot(input_ids, 5).float() + kwargs.get("shift", 0.0)
        loss = logits.mean() * kwargs.get("weight", 1.0)
        return {"loss": loss, "logits": None if kwargs.get("mute") else logits}


def look(**keys):
    model, batch = Open(), {"input_ids": torch.tensor([[1, 2, 3]]), **keys}
    parts = SimpleNamespace(bare=model, forward_names=("input_ids",))
    return find_idle_keys(parts, batch, Seen(model(**batch), None))


@pytest.mark.parametrize("key", ["shift", "weight"])
def test_a_key_that_moves_the_logits_or_the_loss_is_used(key):
    assert look(**{key: torch.tensor(2.0), "pixel_value": torch.ones(3)}) == ("pixel_value",)


def test_a_named_argument_is_never_idle():
    assert look() == ()


def test_without_logits_nothing_can_be_said():
    assert isinstance(look(mute=True), Unknown)
