"""A plan of 280 million pixels."""

from preflight_ocr.harness.facts import RowProblem
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "dataset.problems": (
            RowProblem(split="train", row=0, image="plan.tif", kind="enormous image", detail="20000 x 14000"),
        )
    },
)
