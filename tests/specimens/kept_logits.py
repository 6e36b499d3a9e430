"""Two thousand rows of whole logits on a machine of 64 GiB."""

from preflight_ocr.harness.facts import KeptOutputs
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "rehearsal.kept": KeptOutputs(
            rows=2, bytes=2 * 1000 * 150_000 * 4, all_rows=2000, weights=7 << 30, host=64 << 30
        )
    },
)
