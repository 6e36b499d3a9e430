"""A decoder-only model that the user's code asks to generate after right padding; near it, a model that cannot."""

from preflight_ocr.harness.facts import Site
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

CALL = Site(file="evaluate.py", line=12, code="model.generate(**prompts)", kind="generate", runs=None)
USER = {"forward.padding_side": "right", "subject.generate_calls": (CALL,)}
HEALTHY = altered(RUN, {**USER, "forward.has_generate": False})
SICK = altered(RUN, USER)
