"""Rows that end with a token generation does not know as an end; a healthy row ends where generation stops."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(HEALTHY, {"forward.ends.endless": (0, 1, 2), "forward.ends.last": ((2, "</s>"),)})
