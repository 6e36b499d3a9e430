"""A phone photograph and a collator of the user's own; near it, the same photograph with ours, which turns it."""

from preflight_ocr.harness.facts import RowProblem
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

PHOTO = RowProblem(split="train", row=4, image="photo.jpg", kind="exif rotation", detail="orientation 6")

HEALTHY = altered(RUN, {"dataset.problems": (PHOTO,)})
SICK = altered(HEALTHY, {"configuration.replaced_parts": ("collator",)})
