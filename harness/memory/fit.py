"""Whether a step fits: what CUDA takes beside the tensors, and the need held against the budget. In bytes."""

from __future__ import annotations

import msgspec

from preflight_ocr.harness.facts import MemoryForecast

CONTEXT = 512 << 20
"""What CUDA takes for itself before any tensor, by card and driver: pytorch/pytorch#86509 shows 287,047,680 bytes where
kernels are loaded lazily and 666,632,192 where they are not. It is not measured here; `nvidia-smi` shows it beside
`torch.cuda.memory_reserved()`."""
CUBLAS = 8_519_680
"""cuBLAS' workspace, which torch takes from its allocator at the first matrix product (aten/src/ATen/cuda/
CublasHandlePool.cpp, ":4096:2:16:8"); 32 MiB on Hopper."""


def open_forecast(*, source: str, method: str, budget_gb: float | None) -> MemoryForecast:
    """A forecast of which nothing is known yet. `budget_gb` is `budget.vram_gb`, in GiB."""
    return MemoryForecast(
        source=source,
        method=method,
        weights=(),
        weight_bytes=None,
        trained_parameters=None,
        trained_bytes=None,
        step=None,
        peak=None,
        needed=None,
        budget=None if budget_gb is None else round(budget_gb * 2**30),
        fits=None,
        changes=(),
        together=None,
        assumptions=(),
        unknown=(),
    )


def judge(forecast: MemoryForecast) -> MemoryForecast:
    """The forecast with `fits`: yes or no where the peak is known, no where the weights alone are over the budget."""
    needed = forecast.peak.needed if forecast.peak is not None else None
    fits: bool | None = None
    if forecast.budget is not None:
        if needed is not None:
            fits = needed <= forecast.budget
        elif forecast.weight_bytes is not None and forecast.weight_bytes + CONTEXT > forecast.budget:
            fits = False
    return msgspec.structs.replace(forecast, needed=needed, fits=fits)
