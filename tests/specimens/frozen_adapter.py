"""No adapter of the attention has a gradient; a healthy mixture has experts no token reached."""

from preflight_ocr.harness.facts import Census
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(
    RUN,
    {
        "learning.census.1": Census(
            part="experts", checkpointing=False, adapters=12, with_gradient=4, moved=4, unreached=8, idle={}
        )
    },
)
SICK = altered(
    RUN,
    {
        "learning.census.0.with_gradient": 0,
        "learning.census.0.moved": 0,
        "learning.losses": (6.25, 6.25, 6.25),
    },
)
