"""Two rows have each other's page; a healthy collator sorts whole rows."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

SWAPPED: dict[str, object] = {"collator.views.0.source_row": 1, "collator.views.1.source_row": 0}

HEALTHY = altered(
    RUN,
    SWAPPED
    | {
        "collator.batch.rows.0.supervised_text": "seven<|end|>",
        "collator.batch.rows.1.supervised_text": "Жили-были дед и баба<|end|>",
    },
)
SICK = altered(RUN, SWAPPED | {"forward.behaviour.image_leaks": ((0, 1), (1, 0))})
