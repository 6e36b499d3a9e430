"""The sandbox of a check: what its children find imported, and what they may use."""

from __future__ import annotations

import os
from collections.abc import Sequence

from preflight_ocr.harness.check.asked import SECONDS
from preflight_ocr.harness.isolation import Limits, Sandbox

# Modules that the children need, imported once in the warm process. Importing them runs no torch operation.
PRELOAD = (
    "torch",
    "transformers.modeling_utils",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.processing_auto",
    "transformers.models.auto.tokenization_auto",
    "peft",
    "accelerate",
    "PIL.Image",
    "preflight_ocr.probes.rehearsal.life",
    "preflight_ocr.probes.batch.processor",
)
MOST_TOGETHER = 4
"""The children of every check."""


def open_sandbox(preload: Sequence[str] = (), *, named: Sequence[str] = (), network: bool = False) -> Sandbox:
    """A sandbox with what the probes need: no accelerator, quiet libraries, most of the machine's memory.

    `preload` names modules that the children of this caller need besides; importing them must run no torch operation.
    `named` are variables that foreign code gets although their names say that they hold a secret; `network` leaves the
    network open.
    """
    return Sandbox(
        named=named,
        network=network,
        preload=(*PRELOAD, *preload),
        limits=limit(SECONDS),
        environment={
            "CUDA_VISIBLE_DEVICES": "",
            "TRANSFORMERS_VERBOSITY": "error",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            # glibc keeps what was freed: a child of a few seconds would ask the system for the same pages again and again.
            "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
            "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
        },
    )


def limit(seconds: float) -> Limits:
    """What one child may use: this long, and its share of nine tenths of the machine's memory."""
    return Limits(seconds=seconds, memory_bytes=int(0.9 * _physical_memory() / count_together()))


def count_together() -> int:
    """How many children run at a time."""
    return max(1, min(os.cpu_count() or 1, MOST_TOGETHER))


def _physical_memory() -> int:
    """Bytes of memory in this machine; 16 GiB where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 16 << 30
