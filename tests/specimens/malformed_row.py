from __future__ import annotations

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = RUN
SICK = altered(RUN, {"dataset.splits.0.columns": ("scan", "text"), "dataset.splits.0.pictured": 0})
