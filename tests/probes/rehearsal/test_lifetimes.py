from __future__ import annotations

import torch
from torch import nn

from preflight_ocr.probes.rehearsal.lifetimes import Footprint

KIB = torch.ones(256)  # 1024 bytes of float32


def test_what_is_let_go_is_no_longer_held():
    with Footprint() as footprint:
        a = KIB * 2
        b = a + 1
        assert footprint.now == 2048
        del a
        assert footprint.now == 1024
        c = b * 3
    assert (footprint.peak, footprint.now) == (2048, 2048)
    assert c is not None


def test_views_of_one_storage_count_once():
    with Footprint() as footprint:
        a = KIB * 2
        views = [a.view(16, 16), a[:3], a.detach()]
    assert footprint.peak == 1024 and len(views) == 3


def test_what_backward_needs_is_called_so_and_weights_are_not():
    layer = nn.Linear(256, 256, bias=False)
    x = torch.randn(4, 256, requires_grad=True)
    footprint = Footprint()
    footprint.own(layer.parameters(), "weights")
    with footprint, footprint.keeping():
        y = layer(x).relu()
    assert footprint.held["weights"] == 256 * 256 * 4
    assert footprint.held["activations"] == 4 * 256 * 4  # relu keeps its output; the layer's input was there before
    assert y.shape == (4, 256)


def test_logits_are_known_by_their_width():
    with Footprint(vocabulary=100) as footprint:
        logits = torch.zeros(3, 100) + 1
        other = torch.zeros(3, 99) + 1
    assert footprint.held["logits"] == 3 * 100 * 4
    assert footprint.held["workspace"] == 3 * 99 * 4
    assert logits is not other


def test_the_peak_says_what_it_was_and_when():
    footprint = Footprint()
    with footprint:
        footprint.begin("forward")
        a = KIB * 1
        footprint.begin("backward")
        with footprint.making("gradients"):
            b = torch.cat([a, a])
        del a
        footprint.begin("end")
    assert footprint.peak_in == "backward" and footprint.peak == 1024 + 2048
    assert footprint.peaks == {"forward": 1024, "backward": 3072, "end": 2048}
    assert footprint.held["gradients"] == 2048 and b is not None


def test_every_storage_that_is_made_is_given_back_once():
    with Footprint() as footprint:
        for _ in range(3):
            KIB.clone().mul_(2)
    made = [storage for storage, size in footprint.events if size]
    gone = [storage for storage, size in footprint.events if not size]
    assert sorted(made) == sorted(gone) == [0, 1, 2]
