"""Accumulation multiplies the loss; a healthy mean of means is a little off."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(RUN, {"learning.accumulation_ratio": 1.04})
SICK = altered(RUN, {"learning.accumulation_ratio": 2.0, "configuration.accumulation_steps": 2})
