"""The loss of a repeated batch stays where it is; a healthy one falls a little."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(RUN, {"learning.losses": (6.25, 6.249)})
SICK = altered(RUN, {"learning.losses": (6.25, 6.25, 6.25)})
