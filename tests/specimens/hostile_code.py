"""A forward that ended its process; near it, a section that is unknown for a harmless reason."""

from preflight_ocr.harness.facts import Unknown
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(RUN, {"memory": Unknown(reason="the miniature is too small to tell")})
DIED = Unknown(reason="foreign code died: forward was ended by signal SIGSEGV", cause="foreign code died")
SICK = altered(RUN, {"forward": DIED, "learning": DIED})
