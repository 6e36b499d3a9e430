"""A run whose generation config ends with ValueError."""

from preflight_ocr.harness.facts import Raised, Site
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "rehearsal.generation_config": Raised(
            type="ValueError",
            message="The generation config instance is invalid",
            site=Site(file="train.py", line=41, code="save()", kind="", runs=None),
        )
    },
)
