"""What one call of forward shows about the keys of its batch."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.probes.forward.forward import average_by_token, find_idle_keys
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


@pytest.mark.parametrize("shift", [0, 1])
def test_a_token_that_the_targets_repeat_counts_once_whichever_way_the_loss_reads_its_labels(shift):
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 8, 11) * 3, torch.tensor([[3, 3, 3, 3, 3, 3, 3, 5], [-100, 3, 3, 3, 3, 3, 3, 7]])
    given, wanted = (logits[:, :-1], labels[:, 1:]) if shift else (logits, labels)
    each = cross_entropy(given.flatten(0, 1), wanted.flatten(), ignore_index=-100, reduction="none").view(wanted.shape)
    kinds = [float(each[wanted == kind].mean()) for kind in (3, 5, 7)]
    loss = each[wanted != -100].mean()
    assert average_by_token(loss, logits, labels) == pytest.approx(sum(kinds) / 3)
    assert average_by_token(loss, logits, labels) != pytest.approx(float(loss), rel=1e-2)


def test_a_loss_that_is_no_mean_over_the_labels_is_not_told_by_token():
    logits, labels = torch.randn(1, 3, 5), torch.tensor([[1, 2, 3]])
    assert isinstance(average_by_token(torch.tensor(40.0), logits, labels), Unknown)
    assert isinstance(average_by_token(None, logits, labels), Unknown)
    assert isinstance(average_by_token(torch.tensor(1.0), logits, labels[:, :2]), Unknown)
