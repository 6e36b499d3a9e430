"""The optimizer raises where forward did not."""

from preflight_ocr.harness.facts import Raised, Site
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "learning.training": Raised(
            type="RuntimeError",
            message="Trying to backward through the graph a second time",
            site=Site(file="trainer.py", line=40, code="loss.backward()", kind="", runs=None),
        )
    },
)
