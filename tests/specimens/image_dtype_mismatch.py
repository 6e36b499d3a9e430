"""float32 images for float16 weights; near it, a model that converts them inside."""

from preflight_ocr.harness.facts import Delta, Raised
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(
    RUN,
    {
        "collator.deltas": (
            Delta(
                argument="images",
                path="images[0][1]",
                kind="dtype",
                seen="float32 tensor [1, 3, 128, 128]",
                expected="float16 tensor [1, 3, 128, 128]",
            ),
        ),
        "forward.dtypes.vision": {"float16": 200_000},
    },
)
SICK = altered(
    HEALTHY,
    {
        "forward.given": Raised(
            type="RuntimeError", message="Input type (float) and bias type (c10::Half) should be the same", site=None
        )
    },
)
