from __future__ import annotations

import sys
import types

import pytest
import torch

from preflight_ocr.probes.accelerator.card import CpuCard, CudaCard, PeakBytes, open_card

GIB = 1 << 30


@pytest.fixture
def cuda(monkeypatch):
    """torch.cuda as it answers on a machine with a card; what it was asked is noted."""
    asked = []

    def answer(name, value):
        def respond(*given):
            asked.append((name, *given))
            return value

        monkeypatch.setattr(torch.cuda, name, respond)

    for name, value in {
        "init": None, "synchronize": None, "empty_cache": None, "reset_peak_memory_stats": None,
        "get_device_capability": (9, 0), "get_device_name": "NVIDIA H100", "get_arch_list": ["sm_80", "sm_90"],
        "memory_allocated": 3 * GIB, "memory_reserved": 5 * GIB, "max_memory_allocated": 4 * GIB,
        "max_memory_reserved": 6 * GIB, "mem_get_info": (70 * GIB, 80 * GIB), "utilization": 93, "power_draw": 412_500,
        "set_sync_debug_mode": None,
    }.items():  # fmt: skip
        answer(name, value)
    return asked


def test_a_card_says_what_it_is_and_what_torch_has_for_it(cuda):
    described = CudaCard().describe()
    assert (described.name, described.capability) == ("NVIDIA H100", "9.0")
    assert described.arch_list == ("sm_80", "sm_90") and described.refused is None


def test_a_torch_that_cannot_use_the_card_is_quoted(monkeypatch):
    def refuse():
        raise RuntimeError("The NVIDIA driver on your system is too old")

    monkeypatch.setattr(torch.cuda, "init", refuse)
    assert CudaCard().describe().refused.message == "The NVIDIA driver on your system is too old"


@pytest.mark.skipif(torch.cuda.is_available(), reason="with an accelerator it is not refused")
def test_without_a_card_the_real_torch_refuses_and_nothing_is_raised():
    assert CudaCard().describe().refused is not None


def test_memory_is_read_in_bytes_and_power_in_watts(cuda):
    card = CudaCard()
    assert card.read_allocated() == 3 * GIB
    assert card.read_peak() == PeakBytes(allocated=4 * GIB, reserved=6 * GIB)
    assert card.read_overhead() == 5 * GIB and card.read_total() == 80 * GIB
    assert (card.read_utilisation(), card.read_power()) == (93.0, 412.5)


def test_everything_is_asked_of_the_one_card(cuda):
    card = CudaCard(1)
    card.synchronize()
    card.start_peak()
    card.release()
    assert cuda == [
        ("synchronize", torch.device("cuda", 1)),
        ("reset_peak_memory_stats", torch.device("cuda", 1)),
        ("empty_cache",),
    ]


def test_a_driver_that_does_not_answer_is_no_number(cuda, monkeypatch):
    class NVMLError(Exception):
        pass

    def refuse(device):
        raise NVMLError("Not Supported")

    pynvml = types.ModuleType("pynvml")
    pynvml.NVMLError = NVMLError
    monkeypatch.setitem(sys.modules, "pynvml", pynvml)
    monkeypatch.setattr(torch.cuda, "utilization", refuse)
    monkeypatch.setattr(torch.cuda, "power_draw", refuse)
    assert CudaCard().read_utilisation() is None and CudaCard().read_power() is None


def test_waits_are_watched_with_the_debug_mode_and_it_is_switched_off_again(cuda):
    with CudaCard().watch_waits():
        pass
    assert cuda == [("set_sync_debug_mode", "warn"), ("set_sync_debug_mode", "default")]


def test_the_stand_in_measures_nothing_and_says_so():
    card = CpuCard()
    card.start_peak(), card.synchronize(), card.release()
    readings = (
        card.read_allocated(),
        card.read_peak(),
        card.read_overhead(),
        card.read_utilisation(),
        card.read_power(),
    )
    assert readings == (None,) * 5
    assert card.describe().refused is None


def test_the_stand_in_takes_calls_for_a_card():
    with CpuCard().reach():
        assert torch.ones(1).cuda().device.type == "cpu"


def test_a_device_is_opened_by_its_name():
    assert isinstance(open_card("cuda"), CudaCard) and isinstance(open_card("cpu"), CpuCard)
    with pytest.raises(ValueError, match="expected cuda or cpu"):
        open_card("tpu")


@pytest.mark.gpu
def test_the_real_card_measures_what_it_holds():
    card = CudaCard()
    assert card.describe().refused is None
    before = card.read_allocated()
    card.start_peak()
    held = torch.zeros(64 << 20, dtype=torch.uint8, device=card.device)
    card.synchronize()
    assert card.read_allocated() - before == held.nbytes
    assert card.read_peak().allocated >= before + held.nbytes
    assert card.read_overhead() > 0
    assert all(reading is None or reading >= 0 for reading in (card.read_utilisation(), card.read_power()))
