"""A slot for videos that the class inherits and its constructor does not fill; near it, a processor that opens."""

from preflight_ocr.harness.facts import Opened, Raised
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

REFUSED = Raised(
    type="TypeError",
    message="Received a NoneType for argument video_processor, but a BaseVideoProcessor was expected.",
    site=None,
)
# What the same class ends with where torchvision is not installed.
BACKEND = Raised(
    type="ImportError", message="\nAutoVideoProcessor requires the Torchvision library but it was not found", site=None
)

HEALTHY = altered(
    RUN, {"processor.registered": Opened(returned="processor", class_name="PageProcessor", raised=None, site=None)}
)
SICK = altered(
    RUN,
    {
        "processor.registered": Opened(returned="raised", raised=REFUSED, class_name="", site=None),
        "processor.unfilled": ("video_processor",),
        "environment.packages.transformers": "4.55.4",
    },
)
