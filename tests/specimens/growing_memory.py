"""A graph kept from every step; near it, a cache that grows once."""

from tests.specimens import altered
from tests.specimens.healthy import ON_CARD as RUN

MIB = 1 << 20

HEALTHY = altered(RUN, {"accelerator.held": (40 * MIB,) * 12 + (48 * MIB,) * 8})
SICK = altered(RUN, {"accelerator.held": tuple((40 + step) * MIB for step in range(20))})
