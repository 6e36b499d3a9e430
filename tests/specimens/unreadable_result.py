"""A run whose reading ends with RuntimeError."""

from preflight_ocr.harness.facts import Raised, Site
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "rehearsal.reading": Raised(
            type="RuntimeError",
            message="size mismatch for lm_head.weight",
            site=Site(file="train.py", line=41, code="load()", kind="", runs=None),
        )
    },
)
