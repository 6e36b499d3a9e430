"""A collator that sends its pixels to the card; near it, one that leaves them on the CPU."""

from preflight_ocr.harness.facts import NamedCard, ReturnedTensor, Site
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

LINE = Site(file="collate.py", line=31, code='batch["pixels"] = torch.stack(views).cuda()', kind="", runs=None)

HEALTHY = altered(RUN, {"configuration.use_cpu": False})
SICK = altered(
    HEALTHY,
    {
        "forward.placement.returned": (
            ReturnedTensor(path="images[0][1]", shape=(1, 3, 64, 64), dtype="float32", site=LINE),
            ReturnedTensor(path="images[1][1]", shape=(1, 3, 64, 64), dtype="float32", site=LINE),
        ),
        "forward.placement.named": (NamedCard(site=LINE, owner="user", during="collator"),),
    },
)
