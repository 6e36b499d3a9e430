"""A hub repository at its main branch; near it, the same one pinned."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(
    RUN, {"configuration.is_local": False, "configuration.revision": "9f30c71f441d010e5429c532364a86705536c53a"}
)
SICK = altered(RUN, {"configuration.is_local": False, "configuration.revision": "main"})
