"""An answer to show, with round figures."""

from __future__ import annotations

import pytest

from preflight_ocr.harness.facts import MemoryChange, MemoryForecast, Peak, RehearsedStep, Share
from preflight_ocr.harness.memory.fit import CONTEXT, CUBLAS, judge

GIB = 1 << 30


@pytest.fixture
def answer():
    peak = Peak(
        parts={"weights": 6 * GIB, "activations": 3 * GIB, "logits": GIB},
        phase="backward",
        phases={"forward": 9 * GIB, "backward": 10 * GIB},
        requested=10 * GIB,
        allocated=10 * GIB,
        reserved=12 * GIB,
        segments=11 * GIB,
        libraries=CUBLAS,
        context=CONTEXT,
    )
    changes = (
        MemoryChange(words="batch size 1", cost="no quality", yaml="training:\n  per_device_train_batch_size: 1",
               needed=9 * GIB, fits=False),
        MemoryChange(words="gradient checkpointing", cost="slower", yaml="training:\n  gradient_checkpointing: true",
               needed=7 * GIB, fits=True),
    )  # fmt: skip
    return judge(
        MemoryForecast(
            source="models/$hostile$ <b>",
            method="rehearsed",
            weights=(Share(part="vision", dtype="bfloat16", parameters=3, bytes=6),),
            weight_bytes=6 * GIB,
            trained_parameters=10,
            trained_bytes=40,
            step=RehearsedStep(
                batch_size=2, accumulation=4, optim="adamw_torch", precision="bf16 autocast", checkpointing=False,
                attention="sdpa", longest_row=1200, worst_row="page-7.png", looked_at=24, rows=900,
            ),
            peak=peak,
            budget=8 * GIB,
            changes=changes,
            together=None,
            needed=None,
            fits=None,
            assumptions=("kernels are not counted",),
            unknown=(),
        )
    )  # fmt: skip
