"""Image tokens kept their labels when one placeholder became seven."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(HEALTHY, {"collator.batch.rows.0.trained": "01111111000011111111"})
