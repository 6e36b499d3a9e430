"""A cached step that computes otherwise; a healthy cache changes nothing."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(HEALTHY, {"forward.agreement.cached": (0.2, 1e-6, 0.1)})
