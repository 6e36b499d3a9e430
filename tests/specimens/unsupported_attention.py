"""sdpa without a kernel for this card; near it, the same where eager is used."""

from preflight_ocr.harness.facts import Raised, Unknown
from tests.specimens import altered
from tests.specimens.healthy import ON_CARD as RUN

RAISED = Raised(type="RuntimeError", message="No available kernel. Aborting execution.", site=None)
WHY = Unknown(reason="forward raised RuntimeError: No available kernel. Aborting execution.")

HEALTHY = altered(RUN, {"accelerator.attention.1.ended": RAISED, "accelerator.attention.1.difference": WHY})
SICK = altered(
    HEALTHY,
    {
        "accelerator.attention.0.is_used": False,
        "accelerator.attention.1.is_used": True,
        "accelerator.precisions.0.difference": WHY,
        **{f"accelerator.precisions.{number}.step": RAISED for number in range(3)},
    },
)
