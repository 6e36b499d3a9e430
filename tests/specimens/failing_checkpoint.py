"""A run whose checkpoint ends with RuntimeError."""

from preflight_ocr.harness.facts import Raised, Site
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "rehearsal.checkpoint": Raised(
            type="RuntimeError",
            message="Some tensors share memory",
            site=Site(file="train.py", line=41, code="save_file(tensors)", kind="", runs=None),
        )
    },
)
