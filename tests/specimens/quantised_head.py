"""A skip list that names the vision tower alone; beside it, QLoRA as it is usually done."""

from preflight_ocr.harness.facts import Quantised
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(
    RUN,
    {
        "configuration.bf16": True,
        "adapter.quantised": Quantised(
            parts={"attention": 8, "mlp": 6},
            kept={"vision": 8, "projector": 2, "head": 1},
            formats=("nf4",),
            compute_dtypes=("bfloat16",),
            head="",
            unpacked=(),
            unheeded={},
            tower="",
            output="lm_head",
            other_dtypes={"float32": 87_424},
            norm_dtypes={"float32": 640},
        ),
        "learning.merge_loss": 0.23,
    },
)
SICK = altered(
    HEALTHY,
    {"adapter.quantised.head": "lm_head", "adapter.quantised.parts": {"attention": 8, "mlp": 6, "head": 1}},
)
