"""The cards that these tests run on: a CPU in the place of one everywhere, and the real one where there is one."""

from __future__ import annotations

import gc

import pytest
import torch

from preflight_ocr.probes.accelerator import Card, CpuCard, CudaCard


class CountingCard(CpuCard):
    """A CPU whose tensors are counted, so that what outlives a step is seen as it is on a card."""

    def read_allocated(self) -> int | None:
        storages = {}
        for thing in gc.get_objects():
            if type(thing) in (torch.Tensor, torch.nn.Parameter) and not thing.is_meta:
                storage = thing.untyped_storage()
                storages[storage.data_ptr()] = storage.nbytes()
        return sum(storages.values())


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def card(request: pytest.FixtureRequest) -> Card:
    """Each test runs on the CPU; the same lines run on the card with `-m gpu`."""
    return CudaCard() if request.param == "cuda" else CountingCard()
