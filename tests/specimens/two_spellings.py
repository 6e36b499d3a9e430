"""A letter with and without a mark of its own; a healthy data set has one spelling."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "dataset.spellings.letters": 1,
        "dataset.spellings.both_ways": ("\u00e9: one character in train row 0, 2 in train row 1",),
    },
)
