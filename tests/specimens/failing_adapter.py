"""all-linear clashes with a container called layers."""

from preflight_ocr.harness.facts import Raised, Target, Unknown
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "adapter.raised": Raised(type="ValueError", message="Target module ModuleList() is not supported.", site=None),
        "adapter.targets": (Target(name="layers", hits={"attention": 1, "projector": 1}),),
        "learning.census": Unknown(reason="there is no adapter"),
        "learning.losses": Unknown(reason="there is no adapter"),
    },
)
