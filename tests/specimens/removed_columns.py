"""remove_unused_columns on, with rows of image_path and text; near it, rows whose columns forward takes."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(
    RUN,
    {
        "configuration.remove_unused_columns": True,
        "configuration.replaced_parts": ("collator",),  # it reads rows that were tokenised before
        "dataset.splits.0.columns": ("input_ids", "labels"),
        "dataset.splits.1.columns": ("input_ids", "labels"),
    },
)
SICK = altered(RUN, {"configuration.remove_unused_columns": True})
