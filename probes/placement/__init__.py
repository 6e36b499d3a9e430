"""Model and batch on a card that is not there: who would meet whom on different devices, and at which line."""

from probes.placement.look import look_at_placement
from probes.placement.standing import Standing, remember

__all__ = ["Standing", "look_at_placement", "remember"]
