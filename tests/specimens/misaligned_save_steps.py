"""Evaluated every 200 steps, saved every 500."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(
    RUN,
    {
        "configuration.load_best_model_at_end": False,
        "configuration.save_steps": 500,
        "configuration.eval_steps": 200,
        "configuration.early_stopping": False,
    },
)
SICK = altered(RUN, {"configuration.save_steps": 500, "configuration.eval_steps": 200})
