"""A wait for each of 64 experts in each of 11 layers; near it, one for each row and picture."""

from tests.specimens import altered
from tests.specimens.healthy import ON_CARD as RUN

HEALTHY = altered(RUN, {"accelerator.waits.1.times": 64})
SICK = altered(RUN, {"accelerator.waits.1.times": 704})
