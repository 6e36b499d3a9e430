"""A download that broke off; near it, an unusual but readable image."""

from preflight_ocr.harness.facts import RowProblem
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(
    RUN, {"dataset.problems": (RowProblem(split="train", row=3, image="pages/0003.png", kind="palette", detail=""),)}
)
SICK = altered(
    RUN,
    {
        "dataset.problems": (
            RowProblem(
                split="train", row=7, image="pages/0007.jpg", kind="truncated image", detail="38 bytes are missing"
            ),
        )
    },
)
