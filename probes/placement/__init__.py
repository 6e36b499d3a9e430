"""Model and batch on a card that is not there: who would meet whom on different devices, and at which line."""

from preflight_ocr.probes.placement.initial_state import InitialState, remember
from preflight_ocr.probes.placement.look import look_at_placement

__all__ = ["InitialState", "look_at_placement", "remember"]
