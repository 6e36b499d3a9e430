"""The tiling has one row for two images; a healthy one is a list that forward takes."""

from typing import Literal

from preflight_ocr.harness.facts import Delta
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered


def tiling(kind: Literal["shape", "container"], *, seen: str) -> Delta:
    name = "images_spatial_crop"
    return Delta(argument=name, path=name, kind=kind, seen=seen, expected="int64 tensor [2, 2]")


HEALTHY = altered(RUN, {"collator.deltas": (tiling("container", seen="list of 2"),)})
SICK = altered(
    RUN,
    {
        "collator.deltas": (tiling("shape", seen="int64 tensor [1, 2]"),),
        "forward.behaviour.image_reaches": (True, False),
    },
)
