"""One of two rows is lost; a healthy collator packs both into one sequence."""

from preflight_ocr.harness.facts import Delta
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered, write_row

HEALTHY = altered(RUN, {"collator.batch.rows_out": 1})
SICK = altered(
    RUN,
    {
        "collator.batch.rows_out": 1,
        "collator.batch.rows": (write_row("biiiiiiippppttte", target="seven"),),
        "collator.deltas": (
            Delta(
                argument="images_spatial_crop",
                path="images_spatial_crop",
                kind="shape",
                seen="int64 tensor [1, 2]",
                expected="int64 tensor [2, 2]",
            ),
        ),
        "collator.views.0.source_row": 1,
    },
)
