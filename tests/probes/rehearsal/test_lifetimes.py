from __future__ import annotations

import torch
from torch import nn

from preflight_ocr.probes.rehearsal.lifetimes import Lifetimes

KIB = torch.ones(256)  # 1024 bytes of float32


def test_what_is_let_go_is_no_longer_held():
    with Lifetimes() as lifetimes:
        a = KIB * 2
        b = a + 1
        assert lifetimes.now == 2048
        del a
        assert lifetimes.now == 1024
        c = b * 3
    assert (lifetimes.peak, lifetimes.now) == (2048, 2048)
    assert c is not None


def test_views_of_one_storage_count_once():
    with Lifetimes() as lifetimes:
        a = KIB * 2
        views = [a.view(16, 16), a[:3], a.detach()]
    assert lifetimes.peak == 1024 and len(views) == 3


def test_what_backward_needs_is_called_so_and_weights_are_not():
    layer = nn.Linear(256, 256, bias=False)
    x = torch.randn(4, 256, requires_grad=True)
    lifetimes = Lifetimes()
    lifetimes.own(layer.parameters(), "weights")
    with lifetimes, lifetimes.keeping():
        y = layer(x).relu()
    assert lifetimes.held["weights"] == 256 * 256 * 4
    assert lifetimes.held["activations"] == 4 * 256 * 4  # relu keeps its output; the layer's input was there before
    assert y.shape == (4, 256)


def test_logits_are_known_by_their_width():
    with Lifetimes(vocabulary=100) as lifetimes:
        logits = torch.zeros(3, 100) + 1
        other = torch.zeros(3, 99) + 1
    assert lifetimes.held["logits"] == 3 * 100 * 4
    assert lifetimes.held["workspace"] == 3 * 99 * 4
    assert logits is not other


def test_the_peak_says_what_it_was_and_when():
    lifetimes = Lifetimes()
    with lifetimes:
        lifetimes.begin("forward")
        a = KIB * 1
        lifetimes.begin("backward")
        with lifetimes.making("gradients"):
            b = torch.cat([a, a])
        del a
        lifetimes.begin("end")
    assert lifetimes.peak_in == "backward" and lifetimes.peak == 1024 + 2048
    assert lifetimes.peaks == {"forward": 1024, "backward": 3072, "end": 2048}
    assert lifetimes.held["gradients"] == 2048 and b is not None


def test_every_storage_that_is_made_is_given_back_once():
    with Lifetimes() as lifetimes:
        for _ in range(3):
            KIB.clone().mul_(2)
    made = [storage for storage, size in lifetimes.events if size]
    gone = [storage for storage, size in lifetimes.events if not size]
    assert sorted(made) == sorted(gone) == [0, 1, 2]
