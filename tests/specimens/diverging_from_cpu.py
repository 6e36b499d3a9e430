"""Logits nearly as far from the CPU's as they are large; near it, what rounding does to bfloat16."""

from tests.specimens import altered
from tests.specimens.healthy import ON_CARD as RUN

HEALTHY = altered(RUN, {"accelerator.precisions.2.difference": 0.15})
SICK = altered(
    RUN,
    {
        "accelerator.precisions.0.difference": 0.87,
        **{f"accelerator.attention.{number}.difference": 0.87 for number in range(2)},
    },
)
