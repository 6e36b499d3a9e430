"""A free resize, which would squash the page and is therefore not done."""

from preflight_ocr.harness.facts import KeyFact
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "configuration.ineffective_keys": (
            KeyFact(
                path="data.preprocessing.resize", detail="the model's tiling and padding decide the size", nearest=None
            ),
        )
    },
)
