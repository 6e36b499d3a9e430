"""Remote code that fails under the installed transformers, whatever the batch."""

from preflight_ocr.harness.facts import Raised, Site, Unknown
from tests.specimens import HEALTHY, altered

RAISED = Raised(
    type="TypeError",
    message="forward() missing 1 required positional argument: 'position_embeddings'",
    site=Site(file="modeling_deepseekv2.py", line=880, code="hidden = layer(hidden, mask)", kind="", runs=None),
)

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "forward.reference": RAISED,
        "forward.given": RAISED,
        "forward.behaviour": Unknown(reason="forward raised"),
        "forward.landing": Unknown(reason="forward raised"),
        "learning.training": RAISED,
    },
)
