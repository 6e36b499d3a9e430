"""A local function as collator, with two workers."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "collator.pickles": False,
        "collator.pickle_error": "AttributeError: Can't pickle local object 'make_collator.<locals>.collate'",
        "collator.owner": "train:make_collator",
        "configuration.dataloader_workers": 2,
    },
)
