"""An upload that fails."""

from preflight_ocr.harness.facts import FailedCallback, Raised, Site
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "rehearsal.callbacks": (
            FailedCallback(
                callback="Upload",
                event="on_save",
                raised=Raised(
                    type="FileNotFoundError",
                    message="no bucket",
                    site=Site(file="train.py", line=41, code="copy()", kind="", runs=None),
                ),
            ),
        )
    },
)
