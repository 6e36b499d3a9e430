"""One page in train and in val."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(HEALTHY, {"dataset.shared_rows": ("pages/0007.png in train and val",)})
