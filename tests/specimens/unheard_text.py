"""Another text gives the same logits in one row."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(HEALTHY, {"forward.behaviour.text_reaches": (True, False)})
