"""A schedule that lacks its setting."""

from preflight_ocr.harness.facts import Raised, Site
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "rehearsal.optimizer": Raised(
            type="ValueError",
            message="One of min_lr or min_lr_rate should be set",
            site=Site(file="train.py", line=41, code="get_scheduler(name)", kind="", runs=None),
        )
    },
)
