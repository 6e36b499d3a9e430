"""float32 experts under bf16 autocast; near it, a CPU without half-precision kernels, which says nothing about a card."""

from preflight_ocr.harness.facts import Raised
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(
    RUN,
    {
        "configuration.bf16": True,
        "learning.mixed_precision": Raised(
            type="RuntimeError", message="\"addmm_impl_cpu_\" not implemented for 'Half'", site=None
        ),
    },
)
SICK = altered(
    RUN,
    {
        "configuration.bf16": True,
        "learning.mixed_precision": Raised(
            type="RuntimeError", message="Index put requires the source and destination dtypes match", site=None
        ),
    },
)
