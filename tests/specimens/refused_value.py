"""A misspelt schedule."""

from preflight_ocr.harness.facts import KeyFact
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "configuration.refused_values": (
            KeyFact(
                path="training.lr_scheduler_type",
                nearest="cosine",
                detail="'cosinee' is none of the installed transformers' 12 values",
            ),
        )
    },
)
