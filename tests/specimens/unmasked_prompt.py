"""The prompt has labels."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(HEALTHY, {"collator.batch.rows.0.trained": "00000000111111111111"})
