"""The same tensor as tile and page; a healthy run shows fewer tiles than the page calls for."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(RUN, {"collator.planned_tiles": (6, 0), "collator.seen_tiles": (2, 0)})
SICK = altered(RUN, {"collator.seen_tiles": (1, 1), "forward.landing.0.features": 12, "forward.landing.1.features": 12})
