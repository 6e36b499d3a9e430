"""A run whose resume ends with UnpicklingError."""

from preflight_ocr.harness.facts import Raised, Site
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "rehearsal.resume": Raised(
            type="UnpicklingError",
            message="Weights only load failed",
            site=Site(file="train.py", line=41, code="torch.load(path)", kind="", runs=None),
        )
    },
)
