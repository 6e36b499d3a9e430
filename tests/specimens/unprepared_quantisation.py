"""Norms left in float16 beside packed weights; healthy ones were put into float32."""

from tests.specimens import altered
from tests.specimens.quantised_head import HEALTHY

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY, {"adapter.quantised.norm_dtypes": {"float16": 640}, "adapter.quantised.other_dtypes": {"float16": 87_424}}
)
