"""A collator written for another model: its image is called pixel_values."""

from preflight_ocr.harness.facts import Delta, Raised, Repair
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

REFUSED = Raised(type="TypeError", message="forward() got an unexpected keyword argument 'pixel_values'", site=None)

HEALTHY = altered(
    RUN,
    {
        "collator.batch.keys": (
            "input_ids",
            "labels",
            "position_ids",
            "images",
            "images_seq_mask",
            "images_spatial_crop",
        )
    },
)
SICK = altered(
    RUN,
    {
        "collator.batch.keys": ("input_ids", "attention_mask", "labels", "pixel_values"),
        "collator.deltas": (
            Delta(argument="pixel_values", path="pixel_values", kind="unexpected", seen="float32 tensor", expected="-"),
            *(
                Delta(argument=name, path=name, kind="missing", seen="absent", expected=expected)
                for name, expected in (
                    ("images", "list of 2"),
                    ("images_seq_mask", "bool tensor [2, 20]"),
                    ("images_spatial_crop", "int64 tensor [2, 2]"),
                )
            ),
        ),
        "forward.given": REFUSED,
        "forward.repairs": (Repair(argument="pixel_values", raised=REFUSED),),
        "learning.training": REFUSED,
    },
)
