"""The EOS has no label; a healthy model is one whose targets end without the tokenizer's EOS."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

UNLABELLED = "00000000000011111110"

HEALTHY = altered(
    RUN,
    {
        f"collator.{batch}.rows.{row}.trained": trained
        for batch in ("batch", "reference")
        for row, trained in ((0, UNLABELLED), (1, "00000000000000001110"))
    },
)
SICK = altered(RUN, {"collator.batch.rows.0.trained": UNLABELLED})
