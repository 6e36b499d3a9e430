"""What is asked of a card, and who answers: CUDA through torch and NVML, or a CPU that stands in for one."""

from __future__ import annotations

import gc
import platform
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol

import torch

from preflight_ocr.harness.facts import Device, Site
from preflight_ocr.harness.training.redirects import redirect_cuda
from preflight_ocr.probes.accelerator.waits import record_operations, record_warnings
from preflight_ocr.probes.workbench.tracing import describe_error

NOT_MEASURED = "not measured: no accelerator"


class PeakBytes(NamedTuple):
    """The most memory in use at one time, in bytes: by tensors, and by torch's allocator on their behalf."""

    allocated: int
    reserved: int


class Card(Protocol):
    """One device that models are trained on. What it cannot measure is None."""

    device: torch.device
    can_pin: bool

    def describe(self) -> Device:
        """Its name, capability and the kernels that torch has, or what torch said when asked for it."""

    def reach(self) -> AbstractContextManager[Any]:
        """What foreign code has to run in that asks for "cuda"."""

    def synchronize(self) -> None:
        """Return when everything given to the card is done."""

    def release(self) -> None:
        """Give back what nobody uses."""

    def read_allocated(self) -> int | None:
        """Bytes that tensors hold now."""

    def start_peak(self) -> None:
        """Begin a new measurement of the peak."""

    def read_peak(self) -> PeakBytes | None:
        """The peak since then."""

    def read_overhead(self) -> int | None:
        """Bytes in use beyond what torch's allocator has: the CUDA context, the kernels, other processes."""

    def read_total(self) -> int | None:
        """Bytes of memory that the card has, or the slice of it that we see."""

    def read_utilisation(self) -> float | None:
        """Percent of the last sample period in which kernels ran."""

    def read_power(self) -> float | None:
        """Watts drawn."""

    def watch_waits(self) -> AbstractContextManager[Counter[Site]]:
        """How often the processor waits for the card inside the block, by place."""


class CudaCard:
    """A CUDA device. Nothing is asked of the driver before the first method is called."""

    can_pin = True

    def __init__(self, index: int = 0) -> None:
        self.device = torch.device("cuda", index)

    def describe(self) -> Device:
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]
            major, minor = torch.cuda.get_device_capability(self.device)
            name = torch.cuda.get_device_name(self.device)
        except (AssertionError, RuntimeError) as error:  # a build without CUDA; a driver that is too old, or busy
            return Device(name="", capability="", arch_list=(), refused=describe_error(error))
        return Device(
            name=name, capability=f"{major}.{minor}", arch_list=tuple(torch.cuda.get_arch_list()), refused=None
        )

    def reach(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def synchronize(self) -> None:
        torch.cuda.synchronize(self.device)

    def release(self) -> None:
        gc.collect()
        torch.cuda.empty_cache()

    def read_allocated(self) -> int | None:
        return int(torch.cuda.memory_allocated(self.device))

    def start_peak(self) -> None:
        torch.cuda.reset_peak_memory_stats(self.device)

    def read_peak(self) -> PeakBytes | None:
        return PeakBytes(
            int(torch.cuda.max_memory_allocated(self.device)), int(torch.cuda.max_memory_reserved(self.device))
        )

    def read_overhead(self) -> int | None:
        free, total = torch.cuda.mem_get_info(self.device)
        return int(total - free - torch.cuda.memory_reserved(self.device))

    def read_total(self) -> int | None:
        return int(torch.cuda.mem_get_info(self.device)[1])

    def read_utilisation(self) -> float | None:
        return _ask_driver(torch.cuda.utilization, self.device)

    def read_power(self) -> float | None:
        milliwatts = _ask_driver(torch.cuda.power_draw, self.device)
        return None if milliwatts is None else milliwatts / 1000

    def watch_waits(self) -> AbstractContextManager[Counter[Site]]:
        return record_warnings(torch.cuda.set_sync_debug_mode)


class CpuCard:
    """The processor in the place of a card: everything runs, no memory, power or utilisation is measured.

    Waits are counted by the operations that would wait on a card.
    """

    can_pin = False

    def __init__(self) -> None:
        self.device = torch.device("cpu")

    def describe(self) -> Device:
        return Device(name=platform.processor() or platform.machine(), capability="", arch_list=(), refused=None)

    def reach(self) -> AbstractContextManager[Any]:
        return redirect_cuda()

    def synchronize(self) -> None:
        """A processor is done when it returns."""

    def release(self) -> None:
        gc.collect()

    def read_allocated(self) -> int | None:
        return None

    def start_peak(self) -> None:
        """There is none to start."""

    def read_peak(self) -> PeakBytes | None:
        return None

    def read_overhead(self) -> int | None:
        return None

    def read_total(self) -> int | None:
        return None

    def read_utilisation(self) -> float | None:
        return None

    def read_power(self) -> float | None:
        return None

    def watch_waits(self) -> AbstractContextManager[Counter[Site]]:
        return record_operations()


def open_card(device: str) -> Card:
    """The card that "cuda" or "cpu" names. Raises ValueError for anything else."""
    if device == "cuda":
        return CudaCard()
    if device == "cpu":
        return CpuCard()
    raise ValueError(f"there is no device {device!r}; expected cuda or cpu")


def _ask_driver(question: Any, device: torch.device) -> float | None:
    """NVML's answer; None where a slice of a card, an old driver or a missing package has none to give."""
    import pynvml

    try:
        return float(question(device))
    except (pynvml.NVMLError, RuntimeError, ModuleNotFoundError, ValueError):
        return None
