"""The loader opens the processor first and gets a tokenizer; the healthy one opens it last."""

from preflight_ocr.harness.facts import Opened, Site
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

SITE = Site(
    file="load.py",
    line=4,
    code="processor = AutoProcessor.from_pretrained(path, trust_remote_code=True)",
    kind="",
    runs=None,
)
REGISTERED = Opened(returned="processor", class_name="PageProcessor", raised=None, site=None)

HEALTHY = altered(
    RUN,
    {
        "processor.registered": REGISTERED,
        "forward.processor_calls": (Opened(returned="processor", class_name="PageProcessor", site=SITE, raised=None),),
    },
)
SICK = altered(
    HEALTHY,
    {
        "forward.processor_calls": (
            Opened(returned="tokenizer", class_name="LlamaTokenizerFast", site=SITE, raised=None),
        )
    },
)
