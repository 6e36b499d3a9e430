"""The user's collator raises on the first rows."""

from preflight_ocr.harness.facts import Raised, Site, Unknown
from tests.specimens import HEALTHY, altered

RAISED = Raised(
    type="KeyError",
    message="'image'",
    site=Site(file="collate.py", line=8, code='page = row["image"]', kind="", runs=None),
)

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "collator.batch": RAISED,
        "collator.views": Unknown(reason="the collator raised"),
        "collator.deltas": Unknown(reason="the collator raised"),
        "learning.training": RAISED,
    },
)
