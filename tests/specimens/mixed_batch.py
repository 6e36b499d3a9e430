"""Images of image rows only; a healthy data set has no row without an image."""

from preflight_ocr.harness.facts import Unknown
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(
    RUN, {"collator.mixed_rows": Unknown(reason="no batch of the run has rows both with an image and without")}
)
SICK = altered(RUN, {"collator.mixed_swaps": (0, 1)})
