"""A wrapper of the user's that says `.cuda()` in forward; near it, the same line in the model's own code."""

from preflight_ocr.harness.facts import NamedCard, Site
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

LINE = Site(file="wrapper.py", line=12, code="weights = torch.ones(n).cuda()", kind="Tensor.cuda", runs=None)

HEALTHY = altered(
    RUN,
    {
        "configuration.use_cpu": False,
        "forward.placement.named": (NamedCard(site=LINE, owner="model", during="forward"),),
    },
)
SICK = altered(HEALTHY, {"forward.placement.named.0.owner": "user"})
