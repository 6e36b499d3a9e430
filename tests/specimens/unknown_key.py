"""`learning_rte` in place of `learning_rate`."""

from preflight_ocr.harness.facts import KeyFact
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "configuration.unknown_keys": (
            KeyFact(path="training.learning_rte", nearest="training.learning_rate", detail=""),
            KeyFact(path="wishes.fast", nearest=None, detail=""),
        )
    },
)
