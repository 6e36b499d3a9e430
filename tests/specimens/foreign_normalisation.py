"""ImageNet's constants; a healthy run's are recovered with a little error."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(RUN, {"collator.views.0.mean": (0.508, 0.497, 0.5), "collator.views.0.std": (0.493, 0.51, 0.5)})
SICK = altered(
    RUN,
    {f"collator.views.{row}.mean": (0.485, 0.456, 0.406) for row in (0, 1)}
    | {f"collator.views.{row}.std": (0.229, 0.224, 0.225) for row in (0, 1)},
)
