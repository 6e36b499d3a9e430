"""Trained weights that do worse than chance; random weights may."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(RUN, {"forward.loss": 9.0})
SICK = altered(RUN, {"forward.weights": "real", "forward.loss": 9.0, "forward.loss_by_token": 8.9})
