"""A hundred steps of warm-up for a run of ten."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(RUN, {"configuration.total_steps": 101, "configuration.warmup_steps": 100})
SICK = altered(RUN, {"configuration.total_steps": 10, "configuration.warmup_steps": 100})
