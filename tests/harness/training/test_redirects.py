from __future__ import annotations

import pytest
import torch

from preflight_ocr.harness.training.redirects import redirect_cuda

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="with an accelerator nothing needs to be redirected")


def test_every_way_of_asking_for_an_accelerator_ends_on_the_cpu():
    with redirect_cuda():
        made = [
            torch.ones(2).cuda(),
            torch.ones(2).to("cuda"),
            torch.ones(2).to(device="cuda:0", dtype=torch.float64),
            torch.ones(2).to(torch.device("cuda")),
            torch.zeros(2, device="cuda"),
            torch.tensor([1.0], device=torch.device("cuda", 0)),
            torch.nn.Linear(2, 2).cuda().weight,
            torch.nn.Linear(2, 2).to("cuda").weight,
        ]
    assert {tensor.device.type for tensor in made} == {"cpu"}
    assert made[2].dtype == torch.float64


def test_the_place_is_reported_once_with_its_line():
    with redirect_cuda() as found:
        for _ in range(3):
            torch.ones(2).cuda()
    (place,) = found
    assert place.file == __file__
    assert place.code == "torch.ones(2).cuda()"
    assert place.call == "Tensor.cuda"


def test_autocast_for_an_accelerator_casts_on_the_cpu():
    with redirect_cuda() as found, torch.autocast("cuda", dtype=torch.bfloat16):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == torch.bfloat16
    assert found[0].call == "torch.autocast"


def test_nothing_stays_changed_after_the_block():
    start = torch.autocast.__init__
    with pytest.raises(ZeroDivisionError), redirect_cuda():
        raise ZeroDivisionError
    assert torch.autocast.__init__ is start
    with pytest.raises((AssertionError, RuntimeError)):
        torch.ones(2).cuda()


def test_cpu_work_is_left_alone():
    with redirect_cuda() as found:
        assert torch.ones(2).to("cpu", torch.float64).dtype == torch.float64
        assert torch.zeros(2, device="meta").device.type == "meta"
    assert found == []
