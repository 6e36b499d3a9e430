"""One image of the training rows is not there."""

from preflight_ocr.harness.facts import RowProblem
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {"dataset.problems": (RowProblem(split="train", row=7, image="pages/0007.png", kind="missing image", detail=""),)},
)
