"""A run that cannot move the logits; a healthy one can."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(HEALTHY, {"learning.recipe.change": 5e-4, "learning.recipe.peak": 2e-7, "learning.recipe.reach": 2.1e-6})
