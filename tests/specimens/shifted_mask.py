"""input_ids are padded on the left, the placement mask on the right."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {"collator.batch.rows.1.marked": "01111111000000000000", "forward.behaviour.image_reaches": (True, False)},
)
