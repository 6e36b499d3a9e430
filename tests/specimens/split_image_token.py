"""A tokenizer without <image>; near it, one for which no image token is known at all."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(RUN, {"tokenizer.image": None})
SICK = altered(RUN, {"tokenizer.image.id": None})
