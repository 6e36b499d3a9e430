"""processor(images=...) on a tokenizer; near it, such a call in code that the batch did not need."""

from preflight_ocr.harness.facts import Raised, Site
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

CALL = Site(file="collate.py", line=14, code="inputs = processor(images=image)", kind="call", runs=None)

HEALTHY = altered(RUN, {"subject.image_calls_on_processor": (CALL,)})
SICK = altered(
    HEALTHY,
    {
        "processor.image_calls": (CALL,),
        "collator.batch": Raised(
            type="ValueError", message="You need to specify either `text` or `text_target`.", site=CALL
        ),
    },
)
