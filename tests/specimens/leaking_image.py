"""The page of the first row reaches the second."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(HEALTHY, {"forward.behaviour.image_leaks": ((0, 1),)})
