"""A page without a transcription."""

from preflight_ocr.harness.facts import RowProblem
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {"dataset.problems": (RowProblem(split="val", row=1, image="pages/0001.png", kind="empty text", detail=""),)},
)
