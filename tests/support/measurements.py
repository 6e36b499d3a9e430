"""A benchmark as it would have been measured on a card, for tests that only read it."""

from __future__ import annotations

import pytest

from preflight_ocr.harness.commands.bench.figures import Benchmark, Machine, Point
from preflight_ocr.harness.facts import Raised, Unknown

GIB = 1 << 30
MEMORY = Raised(type="OutOfMemoryError", message="CUDA out of memory. Tried to allocate 2.00 GiB.", site=None)


def make_point(batch: int, *, size: int | None = None, gib: float = 4.0, **changes: object) -> Point:
    given = {
        "batch": batch,
        "image_size": size,
        "images": batch,
        "tokens": 500 * batch,
        "collations": (0.02, 0.03, 0.025),
        "steps": (0.5, 0.4, 0.6),
        "allocated": int(gib * 0.8 * GIB),
        "reserved": int(gib * GIB),
        "overhead": GIB // 2,
        "predicted": int(gib * 0.76 * GIB),
        "utilisation": 93.0,
        "power": 71.5,
    }
    return Point(**{**given, **changes})


def make_lost(batch: int, ended: Raised | Unknown) -> Point:
    why = Unknown(reason="CUDA out of memory")
    lost = dict.fromkeys(("allocated", "reserved", "overhead", "predicted", "utilisation", "power"), why)
    return make_point(batch, collations=(), steps=(), images=0, tokens=0, ended=ended, **lost)


@pytest.fixture
def measured() -> Benchmark:
    return Benchmark(
        config="project/preflight.yaml",
        machine=Machine(
            device="cuda", name="NVIDIA L4", capability="8.9", memory_bytes=24 * GIB, driver="580.65", cuda="12.8",
            python="3.11.7", platform="linux", packages={"torch": "2.13.0+cu128", "peft": "0.21.2"},
        ),
        model="DeepseekOCRForCausalLM", precision="bfloat16 weights", weights="real", checkpointing=False, repeats=3,
        budget_bytes=16 * GIB,
        points=(
            make_point(1), make_point(2, gib=8.0), make_point(4, gib=15.8), make_lost(8, MEMORY),
            make_lost(16, Unknown(reason="batch 8 ended with OutOfMemoryError")),
        ),
    )  # fmt: skip
