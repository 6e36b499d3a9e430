"""A float32 model at batch size 4 for a card of 16 GiB; near it, one that just fits."""

import msgspec

from preflight_ocr.harness.facts import MemoryChange, MemoryForecast, Peak, RehearsedStep, Share
from preflight_ocr.harness.memory.fit import CONTEXT, CUBLAS, judge
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.healthy import GIB

SMALLER = MemoryChange(
    words="batch size 1, accumulated over 4 steps",
    cost="no quality; a little slower",
    yaml="training:\n  per_device_train_batch_size: 1\n  gradient_accumulation_steps: 4",
    needed=14 * GIB,
    fits=True,
)
FORECAST = judge(
    MemoryForecast(
        source="model",
        method="the whole model, followed on shapes alone",
        weights=(Share(part="mlp", dtype="float32", parameters=5 * GIB // 2, bytes=10 * GIB),),
        weight_bytes=10 * GIB,
        trained_parameters=GIB // 4,
        trained_bytes=GIB,
        step=RehearsedStep(
            batch_size=4,
            accumulation=1,
            optim="adamw_torch",
            precision="no autocast",
            checkpointing=False,
            attention="eager",
            longest_row=1200,
            worst_row="pages/7.png",
            looked_at=24,
            rows=900,
        ),
        peak=Peak(
            parts={"weights": 10 * GIB, "gradients": GIB, "optimizer": GIB, "activations": 7 * GIB, "logits": GIB},
            phase="backward",
            phases={"forward": 18 * GIB, "backward": 20 * GIB},
            requested=20 * GIB,
            allocated=20 * GIB,
            reserved=22 * GIB,
            segments=21 * GIB - CUBLAS - CONTEXT,
            libraries=CUBLAS,
            context=CONTEXT,
        ),
        needed=None,
        budget=16 * GIB,
        fits=None,
        changes=(SMALLER,),
        together=None,
        assumptions=(),
        unknown=(),
    )
)

HEALTHY = altered(
    RUN,
    {
        "memory": judge(msgspec.structs.replace(FORECAST, budget=21 * GIB, changes=())),
        "configuration.budget_bytes": 21 * GIB,
    },
)
SICK = altered(RUN, {"memory": FORECAST, "configuration.budget_bytes": 16 * GIB, "configuration.batch_size": 4})
