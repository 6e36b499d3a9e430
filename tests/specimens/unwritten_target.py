"""A row that is known by heart and written otherwise; a healthy model writes it and stops."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY, {"learning.recital.read": (101, 330, 330, 330), "learning.recital.read_text": "breadbreadbread"}
)
