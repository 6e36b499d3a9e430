from __future__ import annotations

import warnings

import pytest
import torch

from preflight_ocr.probes.accelerator import CudaCard
from preflight_ocr.probes.accelerator.waits import record_operations, record_warnings

WARNING = "called a synchronizing CUDA operation (Triggered internally at c10/cuda/CUDAFunctions.cpp:148.)"


def places(found):
    return {(site.code, times) for site, times in found.items()}


def test_a_warning_about_synchronisation_is_counted_at_the_line_that_caused_it():
    modes = []
    with record_warnings(modes.append) as found:
        for _ in range(3):
            warnings.warn(WARNING, UserWarning, stacklevel=1)
        warnings.warn("something else", UserWarning, stacklevel=1)
    assert places(found) == {("warnings.warn(WARNING, UserWarning, stacklevel=1)", 3)}
    assert modes == ["warn", "default"]


def test_the_mode_is_switched_off_where_the_block_raises():
    modes = []
    with pytest.raises(ZeroDivisionError), record_warnings(modes.append):
        _ = 1 / 0
    assert modes == ["warn", "default"]


def test_warnings_are_shown_as_before_afterwards():
    before = warnings.showwarning
    with record_warnings(lambda mode: None):
        assert warnings.showwarning is not before
    assert warnings.showwarning is before


def synchronise(tensor):
    """Waits in five lines and, as the last ones, lines that a stand-in takes for none."""
    tensor.sum().item()
    (tensor > 0).nonzero()
    tensor[tensor > 0] = torch.arange(tensor.numel(), device=tensor.device) + 1.0
    if tensor.sum():
        tensor.tolist() if tensor.dim() == 0 else tensor[0].tolist()
    torch.unique(tensor)
    tensor[torch.tensor([0, 1], device=tensor.device)]
    tensor.masked_fill(tensor > 0, 0.0)
    tensor[tensor > 0] = 1.0
    return tensor @ tensor


def test_on_a_cpu_the_operations_that_would_wait_are_counted():
    with record_operations() as found:
        synchronise(torch.ones(4, 4))
    codes = {site.code for site in found}
    assert codes == {
        "tensor.sum().item()",
        "(tensor > 0).nonzero()",
        "tensor[tensor > 0] = torch.arange(tensor.numel(), device=tensor.device) + 1.0",
        "if tensor.sum():",
        "torch.unique(tensor)",
    }


@pytest.mark.gpu
def test_the_real_card_waits_where_the_stand_in_says_so():
    tensor = torch.ones(4, 4, device="cuda")
    synchronise(tensor)
    with CudaCard().watch_waits() as waited:
        synchronise(tensor)
    with record_operations() as counted:
        synchronise(torch.ones(4, 4))
    lines = {site.line for site in counted}
    assert lines <= {site.line for site in waited}
