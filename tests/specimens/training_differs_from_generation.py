"""Positions of the collator's own, which the model numbers otherwise; a healthy batch leaves them to the model."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "collator.batch.keys": (*HEALTHY.collator.batch.keys, "position_ids"),
        "forward.agreement.first": (1.7, 1.2, 0.9),
        "forward.agreement.along": (1.5, 1.3, 1.0),
        "forward.agreement.mended_by": ("position_ids",),
    },
)
