"""Metrics go to a service whose package is not there."""

from preflight_ocr.harness.facts import KeyFact
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "configuration.lacking_packages": (
            KeyFact(path="training.report_to", nearest="wandb", detail="report_to: wandb"),
        )
    },
)
