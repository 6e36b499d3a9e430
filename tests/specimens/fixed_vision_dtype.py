"""float32 weights under a cast to bfloat16; near it, weights in bfloat16."""

from preflight_ocr.harness.facts import Raised, Site, Unknown
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

RAISED = Raised(
    type="RuntimeError",
    message="Input type (c10::BFloat16) and bias type (float) should be the same",
    site=Site(
        file="modeling_vision.py", line=142, code="return self.norm(self.proj(pixels.bfloat16()))", kind="", runs=None
    ),
)
UNSEEN = Unknown(reason="forward raised RuntimeError")

HEALTHY = altered(RUN, {"forward.dtypes": {"vision": {"bfloat16": 200_000}, "attention": {"bfloat16": 65_536}}})
SICK = altered(
    RUN,
    {
        "forward.given": RAISED,
        "forward.reference": RAISED,
        "forward.landing": UNSEEN,
        "forward.behaviour": UNSEEN,
        "forward.loss": UNSEEN,
        "learning": Unknown(reason="a training step raised RuntimeError"),
    },
)
