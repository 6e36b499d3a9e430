"""The user's collator draws from a generator of its own; ours augments with the seeded one."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(RUN, {"collator.deterministic": False})
SICK = altered(RUN, {"collator.deterministic": False, "collator.owner": "train:make_collator"})
