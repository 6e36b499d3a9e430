"""Another page gives the same logits; in a healthy run a row without an image has no page to see."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(RUN, {"forward.behaviour.image_reaches": (True, None)})
SICK = altered(RUN, {"forward.behaviour.image_reaches": (False, False)})
