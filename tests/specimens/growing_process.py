"""A collator that keeps every batch."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "learning.growth.tensors": (310, 314, 318, 322, 326, 330),
        "learning.growth.bytes": (900_000, 910_000, 920_000, 930_000, 940_000, 950_000),
        "learning.growth.holders": ("KeepingCollator.seen",),
    },
)
