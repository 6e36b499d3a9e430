"""A least length that the row does not have; a healthy configuration changes no score."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(HEALTHY, {"learning.recital.hindering": ("min_length: 56",)})
