"""Ink on a transparent page and a collator of the user's own; near it, the same page with ours."""

from preflight_ocr.harness.facts import RowProblem
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

INK = RowProblem(split="train", row=2, image="ink.png", kind="transparency", detail="RGBA")

HEALTHY = altered(RUN, {"dataset.problems": (INK,)})
SICK = altered(HEALTHY, {"configuration.replaced_parts": ("collator",)})
