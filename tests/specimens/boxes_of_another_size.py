"""Boxes in pixels of a page of 2480x3508 that is shown as 700x980; healthy ones were scaled."""

from preflight_ocr.harness.facts import BoxedRow
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

ORIGINAL = ((120.0, 200.0, 900.0, 260.0), (1820.0, 2950.0, 2301.0, 3010.0), (100.0, 3100.0, 2400.0, 3400.0))
SCALED = ((34.0, 56.0, 254.0, 73.0), (514.0, 824.0, 650.0, 841.0), (28.0, 866.0, 677.0, 950.0))


def write(boxes):
    return (BoxedRow(row=1, name="scan.png", original=(2480, 3508), shown=(700, 980), boxes=boxes),)


HEALTHY = altered(RUN, {"collator.boxes": write(SCALED)})
SICK = altered(RUN, {"collator.boxes": write(ORIGINAL)})
