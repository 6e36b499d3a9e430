"""3-D tensors inside the pairs; a healthy run has pages of another size, which forward takes."""

from preflight_ocr.harness.facts import Delta, Raised, Repair
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

RAISED = Raised(type="RuntimeError", message="permute(sparse_coo): number of dimensions in the tensor input", site=None)

HEALTHY = altered(
    RUN,
    {
        "collator.deltas": (
            Delta(
                argument="images", path="images[0][1]", kind="shape", seen="[1, 3, 64, 64]", expected="[1, 3, 128, 128]"
            ),
        )
    },
)
SICK = altered(
    RUN,
    {
        "collator.deltas": (
            Delta(
                argument="images",
                path="images[0][0]",
                kind="rank",
                seen="float32 tensor [3, 128, 128]",
                expected="float32 tensor [1, 3, 128, 128]",
            ),
        ),
        "forward.given": RAISED,
        "forward.repairs": (Repair(argument="images", raised=RAISED),),
    },
)
