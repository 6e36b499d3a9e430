"""A CUDA build of torchvision beside a CPU build of torch; near it, a pair that differs in the bug-fix number only."""

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(
    RUN, {"environment.packages.torchvision": "0.28.1+cpu", "environment.torchvision_wants_torch": "2.13.1"}
)
SICK = altered(RUN, {"environment.packages.torchvision": "0.28.0+cu128", "environment.torchvision_build": "cu128"})
