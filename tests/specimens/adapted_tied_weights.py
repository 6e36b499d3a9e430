"""An adapter on the tied head; a healthy model ties what is not adapted."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(RUN, {"repository.tied_embeddings": True})
SICK = altered(RUN, {"adapter.on_tied_weights": ("lm_head",), "learning.merged_equals_unmerged": False})
