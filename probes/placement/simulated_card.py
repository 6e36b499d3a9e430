"""A card that is not there: everything runs on the CPU, and a ledger says what would be where.

Two modes see all that happens. The function mode (`functions`) answers what code asks of a tensor, carries out what it asks
for in the ledger, and knows what a constructor was called with. The dispatch mode (`kernels`) sees every kernel with its
tensors, also those that torch's own code calls, and holds them to the rules.

A clash is written down once for each place, and then the simulation goes on as if the stray tensor had been moved.
What was made where the function mode does not see (in C++, in a script) is ANYWHERE: it never stands in the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from preflight_ocr.harness.training.redirects import autocast_on_cpu
from preflight_ocr.probes.placement.functions import Functions
from preflight_ocr.probes.placement.kernels import Kernels
from preflight_ocr.probes.placement.simulation import Simulation

CAPABILITY = (7, 5)  # the oldest card with kernels in current builds of torch: nothing that only newer ones have


@contextmanager
def simulate() -> Iterator[Simulation]:
    """Run the block as if there were one card; nothing that was on the CPU before is moved by itself."""
    simulation = Simulation()
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(autocast_on_cpu(lambda: None))
        stack.enter_context(_answer_capability())
        stack.enter_context(Kernels(simulation))
        stack.enter_context(Functions(simulation))
        yield simulation


@contextmanager
def _answer_capability() -> Iterator[None]:
    """Let code that asks what the card can do take its plain way."""
    asked = torch.cuda.get_device_capability
    torch.cuda.get_device_capability = lambda device=None: CAPABILITY
    try:
        yield
    finally:
        torch.cuda.get_device_capability = asked
