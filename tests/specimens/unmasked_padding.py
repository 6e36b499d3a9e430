"""Labels are padded with the pad id."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(HEALTHY, {"collator.batch.rows.1.trained": "11110000000000001111"})
