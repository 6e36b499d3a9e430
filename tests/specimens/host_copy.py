"""Lengths taken to numpy inside forward; near it, the same run without."""

from preflight_ocr.harness.facts import HostCopy, Site
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

LINE = Site(file="wrapper.py", line=20, code="lengths = attention_mask.sum(1).numpy()", kind="", runs=None)

HEALTHY = altered(RUN, {"configuration.use_cpu": False})
SICK = altered(
    HEALTHY,
    {"forward.placement.host_copies": (HostCopy(call="numpy", shape=(2,), dtype="int64", site=LINE, origin=None),)},
)
