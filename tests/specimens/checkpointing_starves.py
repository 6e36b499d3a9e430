"""Checkpointing takes every gradient away; a healthy run does not use it."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(RUN, {"learning.census.1.with_gradient": 0})
SICK = altered(RUN, {"learning.census.1.with_gradient": 0, "configuration.gradient_checkpointing": True})
