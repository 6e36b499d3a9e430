"""A text that speaks of <image>, with a collator of the user's own; near it, the same text with ours."""

from preflight_ocr.harness.facts import RowProblem
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(
    RUN,
    {
        "dataset.problems": (
            RowProblem(split="train", row=5, image="a.png", kind="image token in text", detail="see <image>"),
        )
    },
)
SICK = altered(HEALTHY, {"configuration.replaced_parts": ("collator",)})
