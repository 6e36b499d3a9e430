"""No skip list: the tower is packed with everything else."""

from tests.specimens import altered
from tests.specimens.quantised_head import HEALTHY

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "adapter.quantised.parts": {"vision": 8, "attention": 8},
        "adapter.quantised.kept": {"head": 1},
        "adapter.quantised.tower": "model.visual.blocks",
    },
)
