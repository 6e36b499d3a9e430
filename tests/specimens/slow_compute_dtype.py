"""No compute dtype was given, and the run is in bfloat16."""

from tests.specimens import altered
from tests.specimens.quantised_head import HEALTHY

__all__ = ["HEALTHY", "SICK"]

SICK = altered(HEALTHY, {"adapter.quantised.compute_dtypes": ("float32",)})
