"""A wrapper that passes everything on and scales what comes back; a healthy one returns it as it is."""

from preflight_ocr.harness.facts import Wrapper
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

WRAPPER = Wrapper(
    class_name="Sharpened",
    inner_class="DeepseekOCRForCausalLM",
    inner_name="model",
    dropped=(),
    same_outputs=True,
    shared_names=(),
)

HEALTHY = altered(RUN, {"forward.wrapper": WRAPPER})
SICK = altered(HEALTHY, {"forward.wrapper.same_outputs": False})
