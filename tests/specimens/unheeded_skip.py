"""A skip list of transformers 4 under transformers 5."""

from tests.specimens import altered
from tests.specimens.quantised_head import HEALTHY

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "adapter.quantised.unheeded": {"visual": "model.visual"},
        "adapter.quantised.tower": "model.visual",
        "adapter.quantised.parts": {"vision": 8, "attention": 8},
        "adapter.quantised.kept": {"head": 1},
    },
)
