"""A float mask."""

from preflight_ocr.harness.facts import Delta, Raised
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "collator.deltas": (
            Delta(
                argument="images_seq_mask",
                path="images_seq_mask",
                kind="dtype",
                seen="float32 tensor [2, 20]",
                expected="bool tensor [2, 20]",
            ),
        ),
        "forward.given": Raised(
            type="RuntimeError",
            message="masked_scatter_ only supports boolean masks, but got mask with dtype Float",
            site=None,
        ),
    },
)
