"""Re-entrant checkpointing finds no gradient; a healthy run does not use it."""

from preflight_ocr.harness.facts import Raised
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

RAISED = Raised(
    type="RuntimeError", message="element 0 of tensors does not require grad and does not have a grad_fn", site=None
)

HEALTHY = altered(RUN, {"learning.checkpointing": RAISED})
SICK = altered(RUN, {"learning.checkpointing": RAISED, "configuration.gradient_checkpointing": True})
