"""A row answers otherwise when it is padded; a healthy one does not care."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(HEALTHY, {"forward.behaviour.padding_changes": True})
