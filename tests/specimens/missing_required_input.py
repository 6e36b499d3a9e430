"""The placement mask is None, as its default in the signature suggests."""

from preflight_ocr.harness.facts import Delta, Raised, Repair
from tests.specimens import HEALTHY, altered

RAISED = Raised(type="TypeError", message="'NoneType' object is not subscriptable", site=None)

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "collator.deltas": (
            Delta(
                argument="images_seq_mask",
                path="images_seq_mask",
                kind="none",
                seen="None",
                expected="bool tensor [2, 20]",
            ),
        ),
        "collator.batch.rows.0.marked": "",
        "collator.batch.rows.1.marked": "",
        "forward.given": RAISED,
        "forward.repairs": (Repair(argument="images_seq_mask", raised=RAISED),),
    },
)
