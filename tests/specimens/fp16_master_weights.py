"""float16 adapters under fp16 training; near it, a float16 model with float32 adapters, which PEFT makes by default."""

from preflight_ocr.harness.facts import Raised
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(
    RUN,
    {"configuration.fp16": True, "configuration.torch_dtype": "float16", "learning.mixed_precision": "ok"},
)
SICK = altered(
    HEALTHY,
    {
        "adapter.trainable_dtypes": ("float16",),
        "learning.mixed_precision": Raised(
            type="ValueError", message="Attempting to unscale FP16 gradients.", site=None
        ),
    },
)
