"""forward takes our batch and fails on the user's, over an argument with no diagnosis of its own."""

from preflight_ocr.harness.facts import Delta, Raised, Repair
from tests.specimens import HEALTHY, altered

RAISED = Raised(type="IndexError", message="too many indices for tensor of dimension 1", site=None)

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "forward.given": RAISED,
        "forward.repairs": (Repair(argument="attention_mask", raised=RAISED),),
        "collator.deltas": (
            Delta(
                argument="attention_mask",
                path="attention_mask",
                kind="rank",
                seen="int64 tensor [40]",
                expected="int64 tensor [2, 20]",
            ),
        ),
    },
)
