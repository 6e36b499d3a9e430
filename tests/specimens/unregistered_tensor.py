"""A plain attribute that does not move with the model; near it, the same tensor as a buffer."""

from preflight_ocr.harness.facts import Origin
from tests.specimens import altered
from tests.specimens.helper_on_cpu import CLASH
from tests.specimens.helper_on_cpu import HEALTHY as RUN

KEPT = Origin(kind="attribute", name="model.projector.scale", site=None, call="")

HEALTHY = RUN
SICK = altered(HEALTHY, {"forward.placement.clashes": (CLASH,), "forward.placement.clashes.0.stray.origin": KEPT})
