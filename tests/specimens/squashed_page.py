"""A page squashed to the square; a healthy augmented one is not recognised and says nothing."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(RUN, {"collator.views.0.geometry": "unrecognised", "collator.deterministic": False})
SICK = altered(RUN, {"collator.views.0.geometry": "squashed"})
