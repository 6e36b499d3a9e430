"""Names of another model; a healthy list has one entry too many."""

from preflight_ocr.harness.facts import Raised, Target, Unknown
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(RUN, {"adapter.targets": (Target(name="q_proj", hits={"attention": 2}), Target(name="qkv", hits={}))})
SICK = altered(
    RUN,
    {
        "adapter.targets": (Target(name="query", hits={}), Target(name="value", hits={})),
        "adapter.raised": Raised(type="ValueError", message="Target modules {'query', 'value'} not found", site=None),
        "learning.census": Unknown(reason="there is no adapter"),
        "learning.losses": Unknown(reason="there is no adapter"),
    },
)
