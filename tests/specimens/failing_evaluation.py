"""Labels decoded with -100 in them."""

from preflight_ocr.harness.facts import Raised, Site
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "rehearsal.evaluation": Raised(
            type="OverflowError",
            message="out of range integral type conversion attempted",
            site=Site(file="train.py", line=41, code="tokenizer.batch_decode(labels)", kind="", runs=None),
        )
    },
)
