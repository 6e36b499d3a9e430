"""The placement mask has one column."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "collator.batch.leaves.7.shape": (2, 1),
        "collator.batch.rows.0.marked": "1",
        "collator.batch.rows.1.marked": "1",
        "forward.landing.0.landed": "1" * 20,
        "forward.landing.1.landed": "1" * 20,
        "forward.behaviour.text_reaches": (False, False),
        "forward.weights": "real",
        "forward.loss": 9.1,
        "forward.loss_by_token": 9.1,
    },
)
