"""A page of 883 tokens for a model of 256 positions."""

from preflight_ocr.harness.facts import RowLength
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "forward.positions.limit": 256,
        "forward.positions.rows": (
            RowLength(row=4, name="large.png", tokens=883, highest=882),
            RowLength(row=5, name="small.png", tokens=120, highest=119),
        ),
    },
)
