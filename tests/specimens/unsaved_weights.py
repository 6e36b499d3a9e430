"""A projector that is trained and stands in no file; a healthy run saves what it trains."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(HEALTHY, {"learning.unsaved": ("model.multi_modal_projector.linear_1.weight",)})
