"""A cache of another release, met by the user's own evaluation; near it, the same cache and nobody who generates."""

from preflight_ocr.harness.facts import Raised, Site
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

CALL = Site(file="evaluate.py", line=12, code="model.generate(**prompts)", kind="generate", runs=None)
RAISED = Raised(
    type="AttributeError",
    message="'DynamicCache' object has no attribute 'get_max_length'",
    site=Site(
        file="modeling_deepseekv2.py", line=1870, code="past_length = cache.get_max_length()", kind="", runs=None
    ),
)
HEALTHY = altered(RUN, {"forward.generation": RAISED})
SICK = altered(RUN, {"forward.generation": RAISED, "subject.generate_calls": (CALL,)})
